package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
	if status != http.StatusOK || file.State != "the disk refuses it" || file.Pending < 30 || !file.Ready || !file.Degraded || !strings.Contains(file.Reason, "no space left on device") {
		t.Errorf("readyz = %d, %+v", status, file)
	}
	if got := p.healthcheck(t, 1, "-require=state_file"); !strings.Contains(got.out, "not ready: state_file is the disk refuses it: ") {
		t.Errorf("healthcheck -require=state_file printed %+v", got)
	}
	p.healthcheck(t, 0)
	d.free(t)
	all.more(t, p)
	p.waitLog(t, "the state file is written again")
	if p.metric(t, "leasehold_state_failing") != 0 || p.metric(t, "leasehold_state_pending") != 0 {
		t.Error("the metrics say that it goes on")
	}
	if now, _ := p.ready(t, "state_file"); now.State != "open" || now.Degraded || now.Reason != "" || now.Since.Before(file.Since) {
		t.Errorf("in the end: %+v", now)
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
