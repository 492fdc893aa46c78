package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"
)

// disk is a small file system of the test's own, which it can fill and make read-only.
type disk struct {
	dir    string   // where the proxy finds it
	here   string   // where the test does
	image  string   // the file that it is in, if it is in one
	inside []string // begins each command that is to find it; nothing for root
}

// newDisk mounts half a megabyte of memory. Who is not root does so in namespaces of his own, which the proxy is run in as well.
func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{dir: t.TempDir()}
	d.here = d.dir
	if os.Getuid() != 0 {
		d.unshare(t)
	}
	d.run(t, "mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "leasehold-e2e", d.dir)
	if os.Getuid() == 0 {
		t.Cleanup(func() {
			if err := syscall.Unmount(d.dir, 0); err != nil {
				t.Errorf("unmount %s: %v", d.dir, err)
			}
		})
	}
	return d
}

// unshare makes the namespaces: a process that does nothing holds them until the test ends.
func (d *disk) unshare(t *testing.T) {
	t.Helper()
	holder := exec.Command("cat")
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	me := func(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 1}} }
	holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: me(os.Getuid()), GidMappings: me(os.Getgid()),
	}
	if err := holder.Start(); err != nil {
		t.Fatalf("a disk of the test's own takes root, or a kernel that lets users have namespaces: %v", err)
	}
	t.Cleanup(func() { _ = errors.Join(stdin.Close(), holder.Wait()) })
	d.inside = []string{"nsenter", "--user", "--mount", "--preserve-credentials", fmt.Sprintf("--target=%d", holder.Process.Pid), "--"}
	d.here = fmt.Sprintf("/proc/%d/root%s", holder.Process.Pid, d.dir)
}

// run runs a command that changes the disk.
func (d *disk) run(t *testing.T, args ...string) {
	t.Helper()
	args = append(d.inside[:len(d.inside):len(d.inside)], args...)
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("a disk of the test's own takes root, or a kernel that lets users have namespaces: %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// found runs the proxy where it finds the disk.
func (d *disk) found() option {
	return func(t *testing.T, cmd *exec.Cmd) {
		if len(d.inside) == 0 {
			return
		}
		path, err := exec.LookPath(d.inside[0])
		if err != nil {
			t.Fatal(err)
		}
		cmd.Args = append(append(d.inside[:len(d.inside):len(d.inside)], cmd.Path), cmd.Args[1:]...)
		cmd.Path = path
	}
}

// fill leaves not one page free.
func (d *disk) fill(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(d.here, "filler"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, os.Getpagesize()))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// free takes back what fill has filled.
func (d *disk) free(t *testing.T) {
	t.Helper()
	if err := os.Remove(filepath.Join(d.here, "filler")); err != nil {
		t.Fatal(err)
	}
}

// config is a proxy's that has its state file on the disk, and the key elsewhere.
func (d *disk) config(t *testing.T) string {
	t.Helper()
	r := newAppRole(t, shared, newPolicy(t, shared, "*: create, read, update, delete, list, sudo"))
	hcl := persistent(shared.Address, r, d.dir)
	return keepingSecretID(strings.Replace(hcl, filepath.Join(d.dir, "key"), filepath.Join(t.TempDir(), "key"), 1))
}

// untilRefused reads new leases until the disk refuses one. What stands on it already is written over, so some more may fit.
func (l leases) untilRefused(t *testing.T, p *proxy) {
	t.Helper()
	eventually(t, "the disk refuses the state file", func() bool {
		l.more(t, p)
		return p.metric(t, "leasehold_state_failing") == 1
	})
}

// errors are the log's lines of that level.
func (p *proxy) errors() (lines []string) {
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(line, "level=ERROR") {
			lines = append(lines, line)
		}
	}
	return lines
}

// A full disk costs the memory of restarts and nothing else, the log tells of it once, and it is over when there is space again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	hcl := d.config(t)
	p, all := startProxy(t, hcl, d.found()), leases{}
	all.more(t, p)
	d.fill(t)
	all.untilRefused(t, p)
	for range 30 {
		all.more(t, p)
	}
	if lines := p.errors(); len(lines) != 1 || !strings.Contains(lines[0], "no space left on device") {
		t.Errorf("the log tells of the full disk %d times, want once:\n%s", len(lines), strings.Join(lines, ""))
	}
	file, status := p.ready(t, "state_file")
	if status != http.StatusOK || file.State != "the disk refuses it" || file.Pending < 30 {
		t.Errorf("readyz = %d, %+v", status, file)
	}
	d.free(t)
	all.more(t, p)
	p.waitLog(t, "the state file is written again")
	if p.metric(t, "leasehold_state_failing") != 0 || p.metric(t, "leasehold_state_pending") != 0 {
		t.Error("the metrics say that it goes on")
	}
	p.kill(t)
	p = startProxy(t, hcl, d.found())
	p.wantAll(t, all)
}

// Whatever becomes of the disk: what was revoked, and whose revocation was answered, is never a hit after a restart.
func TestRevokedOnAFullDisk(t *testing.T) {
	for title, c := range map[string]struct {
		full     bool // the disk has refused something before the revocations
		revoke   int  // leases, one by one
		stayFull bool // also over the first restart
	}{
		"first to be refused": {false, 40, false},
		"one after a refusal": {true, 1, false},
		"many":                {true, 40, false},
		"and it stays full":   {true, 10, true},
		"perhaps not refused": {false, 1, true},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			hcl := d.config(t)
			p, all := startProxy(t, hcl, d.found()), leases{}
			for range c.revoke + 5 {
				all.more(t, p)
			}
			p.stop(t) // so that all of it is in bbolt's file
			p = startProxy(t, hcl, d.found())
			gone := leases{}
			d.fill(t)
			if c.full {
				all.untilRefused(t, p)
			}
			for path, s := range all {
				if len(gone) == c.revoke {
					break
				}
				p.revoke(t, s)
				gone[path] = s
			}
			if c.stayFull {
				d.fill(t)
				p.kill(t)
				p = startProxy(t, hcl, d.found())
				p.wantGone(t, gone)
			}
			p.kill(t)
			d.free(t)
			p = startProxy(t, hcl, d.found())
			p.wantGone(t, gone)
		})
	}
}

// The same for what takes more than one record along: a token with its leases, and a prefix.
func TestManyRevokedOnAFullDisk(t *testing.T) {
	t.Parallel()
	for title, revoke := range map[string]func(t *testing.T, p *proxy, token string) answer{
		"token": func(t *testing.T, p *proxy, token string) answer {
			return p.do(t, "POST", "/v1/auth/token/revoke", `{"token":"`+token+`"}`)
		},
		"prefix": func(t *testing.T, p *proxy, _ string) answer {
			return p.do(t, "PUT", "/v1/sys/leases/revoke-prefix/leaser/creds/"+name(t)+"-mine", "")
		},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			hcl := d.config(t)
			p, all, gone := startProxy(t, hcl, d.found()), leases{}, leases{}
			auth := p.do(t, "POST", "/v1/auth/token/create", `{"ttl":"1h","display_name":"`+name(t)+`"}`).secret(t).Auth
			mine := "X-Vault-Token: " + auth.ClientToken
			for n := range 20 {
				path := fmt.Sprintf("/v1/leaser/creds/%s-mine?ttl=600&max_ttl=%d", name(t), 3600+n) // one prefix of many leases
				gone[path], _ = p.read(t, path, mine)
			}
			d.fill(t)
			all.untilRefused(t, p)
			if a := revoke(t, p, auth.ClientToken); a.Status != http.StatusNoContent {
				t.Fatalf("revoke = %d %s", a.Status, a.Body)
			}
			p.kill(t)
			d.free(t)
			p = startProxy(t, hcl, d.found())
			for path, s := range gone {
				a := p.do(t, "GET", path, "", mine)
				if a.Header.Get("X-Cache") == "HIT" || contains(a.Body, s.LeaseID) || a.Status == http.StatusOK && title == "token" {
					t.Errorf("GET %s = %d, %s: what was revoked is back", path, a.Status, a.Header.Get("X-Cache"))
				}
			}
		})
	}
}

// The disk is full already when the proxy starts.
func TestStartsOnAFullDisk(t *testing.T) {
	t.Parallel()
	for title, before := range map[string]int{"without a state file": 0, "with one": 10} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			hcl := d.config(t)
			all := d.state(t, hcl, before)
			d.fill(t)
			p := startProxy(t, hcl, d.found())
			p.wantAll(t, all)
			all.untilRefused(t, p)
			if n := len(p.errors()); n == 0 || n > 2 { // the start's own, and the first refusal's
				t.Errorf("%d errors in the log", n)
			}
			d.free(t)
			all.more(t, p)
			p.waitLog(t, "the state file is written again")
			p.kill(t)
			p = startProxy(t, hcl, d.found())
			p.wantAll(t, all)
		})
	}
	t.Run("exit_on_err", func(t *testing.T) {
		t.Parallel()
		d := newDisk(t)
		hcl := d.config(t)
		d.fill(t)
		wantEnd(t, launch(t, exitingOnErr(hcl), d.found()), "no space left on device")
	})
}

// A file that cannot be used, on a disk that takes no other: both together are no reason not to start either.
func TestBadFileOnAFullDisk(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	hcl := d.config(t)
	if err := os.WriteFile(filepath.Join(d.here, stateFile), []byte("not a state file"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.fill(t)
	p, all := startProxy(t, hcl, d.found()), leases{}
	p.waitLog(t, "no space left on device")
	d.free(t)
	all.more(t, p)
	p.waitLog(t, "the state file is written again")
	p.kill(t)
	p = startProxy(t, hcl, d.found())
	p.wantAll(t, all)
}

// A disk that is read-only at the start is gone on without, for as long as the proxy runs if a state file is there: it may hold what is revoked meanwhile.
func TestStartsOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	for title, before := range map[string]int{"without a state file": 0, "with one": 10} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			hcl := d.config(t)
			all := d.state(t, hcl, before)
			d.remount(t, "ro")
			wantEnd(t, launch(t, exitingOnErr(hcl), d.found()), "read-only file system")
			p := startProxy(t, hcl, d.found())
			if lines := p.errors(); len(lines) == 0 || !strings.Contains(lines[0], "read-only file system") ||
				strings.Contains(lines[0], "move it away before the next start") != (before > 0) {
				t.Errorf("errors in the log: %q", lines)
			}
			for path, s := range all {
				if got, hit := p.read(t, path); hit || got.LeaseID == s.LeaseID {
					t.Error("a hit, although the end of the lease could not be written down")
				}
			}
			if file, status := p.ready(t, "state_file"); status != http.StatusOK || file.State == "open" {
				t.Errorf("readyz = %d, %+v", status, file)
			}
			meanwhile := leases{}
			meanwhile.more(t, p)
			d.remount(t, "rw")
			if before == 0 { // the file is begun
				meanwhile.more(t, p)
				p.waitLog(t, "the state file is written again")
			}
			p.kill(t)
			p = startProxy(t, hcl, d.found())
			if before == 0 {
				p.wantAll(t, meanwhile)
			} else { // it was not touched; had anything been revoked meanwhile, a person would have had to move it away
				p.wantAll(t, all)
			}
		})
	}
}

// remount changes how the disk is mounted. No file on it may be open for writing.
func (d *disk) remount(t *testing.T, how string) {
	t.Helper()
	d.run(t, "mount", "-o", "remount,bind,"+how, d.dir)
}

// Linux turns an ext4 read-only when it finds it damaged, under the hands of whoever writes. Requests go on, and so does the truth after a restart.
func TestDiskTurnsReadOnly(t *testing.T) {
	t.Parallel()
	d, damage := newImage(t)
	hcl := d.config(t)
	all := d.state(t, hcl, 10)
	p := startProxy(t, hcl)
	gone := leases{}
	gone[all.more(t, p)] = nil
	for path := range gone {
		gone[path] = all[path]
	}
	damage()
	all.untilRefused(t, p)
	for range 10 {
		all.more(t, p)
	}
	if lines := p.errors(); len(lines) != 1 || !strings.Contains(lines[0], "read-only file system") {
		t.Errorf("the log tells of the disk %d times, want once:\n%s", len(lines), strings.Join(lines, ""))
	}
	for _, s := range gone {
		p.revoke(t, s)
	}
	p.wantGone(t, gone)
	// Nothing can be written down, not even that the file is no good any more. A person has to know that.
	p.waitLog(t, "what was revoked may come back after a restart; move the file away before the next start")
	p.kill(t)
	p = startProxy(t, hcl)
	p.wantGone(t, gone)
	p.kill(t)
	d.repair(t)
	if err := os.Rename(filepath.Join(d.dir, stateFile), filepath.Join(d.dir, "moved-away")); err != nil {
		t.Fatal(err)
	}
	p = startProxy(t, hcl)
	p.wantGone(t, gone)
}

// newImage mounts an ext4 in a file, and returns what makes Linux believe that it is damaged.
func newImage(t *testing.T) (d *disk, damage func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount a disk image")
	}
	d = &disk{dir: t.TempDir(), image: filepath.Join(t.TempDir(), "image")}
	d.here = d.dir
	if err := errors.Join(os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, 4<<20)); err != nil {
		t.Fatal(err)
	}
	d.run(t, "mkfs.ext4", "-q", "-F", "-O", "^has_journal", d.image)
	d.mountImage(t)
	t.Cleanup(func() { _ = syscall.Unmount(d.dir, 0) })
	return d, func() {
		device, err := exec.Command("findmnt", "--noheadings", "--output=SOURCE", d.dir).Output()
		if err != nil {
			t.Fatal(err)
		}
		trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(device))), "trigger_fs_error")
		if err := os.WriteFile(trigger, []byte("a test"), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *disk) mountImage(t *testing.T) {
	t.Helper()
	d.run(t, "mount", "-t", "ext4", "-o", "loop,errors=remount-ro", d.image, d.dir)
}

// repair mounts the image as if it had never been damaged, which is true.
func (d *disk) repair(t *testing.T) {
	t.Helper()
	if err := syscall.Unmount(d.dir, 0); err != nil {
		t.Fatal(err)
	}
	d.mountImage(t)
}

// The file belongs to the first of two. The second does its work without, and does not disturb.
func TestStateFileHeldByAnother(t *testing.T) {
	t.Parallel()
	dir, r := t.TempDir(), newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	hcl := keepingSecretID(persistent(shared.Address, r, dir))
	first, all := startProxy(t, hcl), leases{}
	all.more(t, first)
	second := startProxy(t, hcl)
	if lines := second.errors(); len(lines) != 1 || !strings.Contains(lines[0], "another process holds it; stop that process, or choose another path") {
		t.Errorf("errors of the second: %q", lines)
	}
	for path, s := range all {
		got, hit := second.read(t, path)
		if hit || got.LeaseID == s.LeaseID {
			t.Error("the second has what is the first one's")
		}
		second.wantSame(t, path, got)
	}
	wantEnd(t, launch(t, exitingOnErr(hcl)), "another process holds it")
	all.more(t, first)
	first.kill(t)
	first = startProxy(t, hcl)
	first.wantAll(t, all)
	if lines := first.errors(); len(lines) > 0 {
		t.Errorf("errors of the first: %q", lines)
	}
}

// A file of another version is not touched: it is set aside under a name that tells when, and the log tells why.
func TestStateFileOfAnotherVersion(t *testing.T) {
	t.Parallel()
	for format, word := range map[string]string{"1": "an older version has written", "3": "a newer version has written"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			dir, r := t.TempDir(), newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
			hcl := keepingSecretID(persistent(shared.Address, r, dir))
			p, all := startProxy(t, hcl), leases{}
			all.more(t, p)
			p.stop(t)
			setFormat(t, dir, format)
			before := readFile(t, filepath.Join(dir, stateFile))
			wantEnd(t, launch(t, exitingOnErr(hcl)), word)
			if readFile(t, filepath.Join(dir, stateFile)) != before {
				t.Error("exit_on_err changed the file")
			}
			p = startProxy(t, hcl)
			p.wantAside(t, dir, word)
			p.wantGone(t, all)
			if aside := asides(t, dir); len(aside) != 1 || readFile(t, aside[0]) != before {
				t.Error("the file was changed when it was set aside")
			}
		})
	}
}

func setFormat(t *testing.T, dir, format string) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, stateFile), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte(format)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

var asideName = regexp.MustCompile(`^leasehold\.db\.bad-\d{8}T\d{6}\.\d{3}Z$`)

// asides are the state files that were set aside.
func asides(t *testing.T, dir string) (paths []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if asideName.MatchString(f.Name()) {
			paths = append(paths, filepath.Join(dir, f.Name()))
		}
	}
	return paths
}

// wantAside checks that the file was set aside with one sentence, which gives this reason.
func (p *proxy) wantAside(t *testing.T, dir, why string) {
	t.Helper()
	out := p.log.String()
	if strings.Count(out, "state file set aside, a new one begun") != 1 || strings.Count(out, why) != 1 || len(asides(t, dir)) != 1 {
		t.Errorf("%d files set aside; log:\n%s\nwant one, because: %s", len(asides(t, dir)), out, why)
	}
}

// state makes a state file of so many leases, closed in order. With none there is no file.
func (d *disk) state(t *testing.T, hcl string, n int) leases {
	t.Helper()
	all := leases{}
	if n == 0 {
		return all
	}
	p := startProxy(t, hcl, d.found())
	for range n {
		all.more(t, p)
	}
	p.stop(t)
	return all
}

// wantEnd waits for a start that fails: exit code 1, and one sentence with this text in it.
func wantEnd(t *testing.T, p *proxy, text string) {
	t.Helper()
	p.wantExit(t, 1)
	out := p.log.String()
	last := out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]
	if !strings.HasPrefix(last, "leasehold: ") || !strings.Contains(last, text) || strings.Count(out, "leasehold: ") != 1 || strings.Contains(out, "goroutine ") {
		t.Errorf("output = %s\nwant one sentence with %q", out, text)
	}
}

// worn is a state file with something in every part of it, in a directory that is only copied from.
type worn struct {
	dir, hcl     string
	living, gone leases // gone is in bbolt's file, and revoked by what is written ahead, before the last of living
}

// wear makes a worn file, by a proxy that was killed, or that was stopped in order.
func wear(t *testing.T, killed bool) *worn {
	t.Helper()
	w := &worn{dir: t.TempDir(), living: leases{}, gone: leases{}}
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read", "sys/leases/*: update"))
	w.hcl = keepingSecretID(persistent(shared.Address, r, w.dir))
	p := startProxy(t, w.hcl)
	for range 20 {
		w.living.more(t, p)
	}
	for range 3 {
		w.gone.more(t, p)
	}
	p.stop(t)
	p = startProxy(t, w.hcl)
	for _, s := range w.gone {
		p.revoke(t, s)
	}
	for range 5 {
		w.living.more(t, p)
	}
	if killed {
		p.kill(t)
	} else {
		p.stop(t)
	}
	return w
}

// copied is the file in a directory of the test's own, and the configuration for it.
func (w *worn) copied(t *testing.T) (dir, hcl string) {
	t.Helper()
	dir = t.TempDir()
	for _, file := range []string{stateFile, stateFile + ".wal", "key"} {
		text, err := os.ReadFile(filepath.Join(w.dir, file))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := errors.Join(err, os.WriteFile(filepath.Join(dir, file), text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, strings.ReplaceAll(w.hcl, w.dir, dir)
}

// wantHonest starts a proxy on a damaged copy. It may know all, or some, or nothing, but what it knows is true; and if it does not take the file, it says so.
func (w *worn) wantHonest(t *testing.T, dir, hcl string) {
	t.Helper()
	p := startProxy(t, hcl)
	hits := 0
	for path, s := range w.living {
		got, hit := p.read(t, path)
		if same := got.LeaseID == s.LeaseID && got.Data["password"] == s.Data["password"]; hit != same {
			t.Errorf("GET %s = lease %s, hit %v; want %s or a new one", path, got.LeaseID, hit, s.LeaseID)
		}
		if hit {
			hits++
		}
	}
	p.wantGone(t, w.gone)
	p.kill(t)
	out := p.log.String()
	aside := strings.Count(out, "state file set aside, a new one begun")
	if aside > 1 || aside != len(asides(t, dir)) || strings.Contains(out, "goroutine ") || len(p.errors()) > 0 {
		t.Errorf("set aside %d times; log:\n%s", aside, out)
	}
	if aside == 1 && hits > 0 {
		t.Errorf("%d hits from a file that was set aside", hits)
	}
	// What was written last may be gone without a word: a frame that is not whole is what a power cut leaves as well.
	if silent := aside == 0 && strings.Contains(out, "expired=0 orphaned=0 unreadable=0"); silent && hits < len(w.living)-1 {
		t.Errorf("%d hits of %d, and the log does not say why", hits, len(w.living))
	}
}

// Damage of every kind costs what was damaged, or the file, and never more: no wrong secret, no crash, no silence.
func TestDamagedStateFile(t *testing.T) {
	t.Parallel()
	stopped, killed := wear(t, false), wear(t, true)
	const file, ahead = stateFile, stateFile + ".wal"
	for title, c := range map[string]struct {
		of     *worn
		file   string
		change func(b []byte) []byte // nil: the file is removed
	}{
		"half":                 {stopped, file, func(b []byte) []byte { return b[:len(b)/2] }},
		"half after a kill":    {killed, file, func(b []byte) []byte { return b[:len(b)/2] }},
		"one page":             {stopped, file, func(b []byte) []byte { return b[:4096] }},
		"a few bytes":          {stopped, file, func(b []byte) []byte { return b[:100] }},
		"nothing":              {stopped, file, func([]byte) []byte { return nil }},
		"nothing after a kill": {killed, file, func([]byte) []byte { return nil }},
		"random":               {stopped, file, random},
		"a random page":        {stopped, file, func(b []byte) []byte { return slices.Concat(b[:len(b)-8192], random(b[:4096]), b[len(b)-4096:]) }},
		"random after a kill":  {killed, file, random},
		"longer":               {stopped, file, func(b []byte) []byte { return append(b, random(b)...) }},
		"only ahead":           {killed, file, nil},
		"ahead removed":        {killed, ahead, nil},
		"ahead random":         {killed, ahead, func(b []byte) []byte { return append(random(b[:len(b)/2]), b[len(b)/2:]...) }},
		"ahead of nothing":     {stopped, ahead, random},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			dir, hcl := c.of.copied(t)
			path := filepath.Join(dir, c.file)
			if c.change == nil {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			} else {
				before, _ := os.ReadFile(path) // there need be none
				if err := os.WriteFile(path, c.change(before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c.of.wantHonest(t, dir, hcl)
		})
	}
}

// One bit is enough. Most are in records, which are sealed, or in bbolt's structure; some say where what is written ahead begins, or that nothing is.
func TestFlippedBit(t *testing.T) {
	t.Parallel()
	for title, w := range map[string]*worn{"stopped": wear(t, false), "killed": wear(t, true)} {
		for _, at := range w.places(t) {
			t.Run(fmt.Sprint(title, " ", at), func(t *testing.T) {
				t.Parallel()
				dir, hcl := w.copied(t)
				path := filepath.Join(dir, at.file)
				b := []byte(readFile(t, path))
				b[at.offset] ^= 0x04
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
				w.wantHonest(t, dir, hcl)
			})
		}
	}
}

// bytePlace is a byte of one of the files.
type bytePlace struct {
	file   string
	offset int
}

// places are some of every kind: of both meta pages, of each page's header, elements and content, of the state, and of each part of what is written ahead.
func (w *worn) places(t *testing.T) (all []bytePlace) {
	t.Helper()
	const pageSize, parts = 4096, 12
	b := readFile(t, filepath.Join(w.dir, stateFile))
	for page := range len(b) / pageSize {
		for _, offset := range []int{9, 24, 2000} { // of the type; of the meta, or an element; of a key or a value
			all = append(all, bytePlace{stateFile, page*pageSize + offset})
		}
	}
	for _, key := range regexp.MustCompile("state").FindAllStringIndex(b, -1) { // on a page in use, and on former ones
		for _, offset := range []int{6, 14, 19, 20, 30} { // of place, number, generation, ahead, MAC
			all = append(all, bytePlace{stateFile, key[1] + offset})
		}
	}
	ahead, err := os.ReadFile(filepath.Join(w.dir, stateFile+".wal"))
	if err != nil && !errors.Is(err, os.ErrNotExist) { // there is none after an orderly end
		t.Fatal(err)
	}
	for part := range min(parts, len(ahead)) {
		all = append(all, bytePlace{stateFile + ".wal", part * len(ahead) / parts})
	}
	return all
}

// random are a few thousand bytes, of chance but the same ones in each run; as many as b has, if there are any.
func random(b []byte) []byte {
	out := make([]byte, cmp.Or(len(b), 5000))
	_, _ = rand.NewChaCha8([32]byte{}).Read(out) // it does not fail
	return out
}
