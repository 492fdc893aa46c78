package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// printed is what one run of a command has printed.
type printed struct{ out, err string }

// leasehold runs the binary with these arguments until it ends by itself, and checks that it prints no secret.
func leasehold(t *testing.T, code int, args ...string) printed {
	t.Helper()
	all := frank(t, code, args...)
	if found := seenIn(all.out + all.err); len(found) > 0 || strings.Contains(all.err, "goroutine ") {
		t.Errorf("%v printed %d secrets:\n%s%s", args, len(found), all.out, all.err)
	}
	return all
}

// frank runs the binary with these arguments, of which one may ask for a secret.
func frank(t *testing.T, code int, args ...string) printed {
	t.Helper()
	var out, err output
	p := start(t, args, func(_ *testing.T, cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = &out, &err })
	p.wantExit(t, code)
	return printed{out.String(), err.String()}
}

// kept is a state file of known content with the configuration that it belongs to: five leases, a client's login, the auto-auth token.
type kept struct {
	dir, file, config string
	secret            []string // what nothing may print, beside passwords and tokens: lease ids, paths, accessors
}

const (
	keptLeases  = 5
	keptRecords = keptLeases + 2
)

// keep makes such a file, with a proxy that ends in this way.
func keep(t *testing.T, end func(*proxy, *testing.T)) *kept {
	t.Helper()
	k := &kept{dir: t.TempDir()}
	k.file = filepath.Join(k.dir, stateFile)
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read", "sys/leases/*: update"))
	hcl := keepingSecretID(persistent(shared.Address, r, k.dir))
	k.config = writeConfig(t, hcl)
	p, all := startProxy(t, hcl), leases{}
	auth := p.logIn(t, r)
	for n := range keptLeases + 1 {
		if n == keptLeases { // one of them is gone again; that it was being revoked leaves the file with the next lease
			for path, s := range all {
				p.revoke(t, s)
				k.secret = append(k.secret, s.LeaseID)
				delete(all, path)
				break
			}
		}
		path := fmt.Sprintf("/v1/leaser/creds/%s-%d?ttl=600", name(t), n)
		if n%2 == 0 {
			all[path], _ = p.read(t, path)
		} else {
			all[path], _ = p.read(t, path, "X-Vault-Token: "+auth.ClientToken)
		}
	}
	for _, s := range all {
		k.secret = append(k.secret, s.LeaseID)
	}
	k.secret = append(k.secret, auth.Accessor, r.RoleID, "leaser", "creds", "approle", "lease_id", "client_token")
	end(p, t)
	return k
}

// writeConfig makes a configuration file.
func writeConfig(t *testing.T, hcl string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "proxy.hcl")
	if err := os.WriteFile(path, []byte(hcl), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// state runs a state command on the file, and checks what holds for all: it shows nothing of what is in the file, and changes nothing.
func (k *kept) state(t *testing.T, code int, args ...string) printed {
	t.Helper()
	before := photograph(t, k.dir)
	p := leasehold(t, code, append([]string{"state"}, args...)...)
	for _, text := range k.secret {
		if strings.Contains(p.out+p.err, text) {
			t.Errorf("%v printed %q:\n%s%s", args, text, p.out, p.err)
		}
	}
	if after := photograph(t, k.dir); !slices.Equal(after, before) {
		t.Errorf("%v changed the files from\n%v\nto\n%v", args, before, after)
	}
	return p
}

// photograph tells everything about the files in a directory.
func photograph(t *testing.T, dir string) (files []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, fmt.Sprintf("%s %v %v %x", f.Name(), info.Mode(), info.ModTime(), sha256.Sum256([]byte(readFile(t, filepath.Join(dir, f.Name()))))))
	}
	return files
}

// stateReport is what -json prints, as far as tests look at it.
type stateReport struct {
	Path, Format, Protection            string
	Closed, Opened                      bool
	Size                                int64 `json:"size_bytes"`
	Ahead                               int   `json:"write_ahead_commits"`
	Records, Unreadable, Leases, Tokens int
	Expired                             int
	AutoAuth                            int `json:"auto_auth_tokens"`
}

// report reads what -json has printed.
func (p printed) report(t *testing.T) (r stateReport) {
	t.Helper()
	if err := json.Unmarshal([]byte(p.out), &r); err != nil {
		t.Fatalf("-json printed %s (%v)", p.out, err)
	}
	return r
}

// The counts are right, whatever ended the last run; flags may stand on either side of the file.
func TestStateCommandCounts(t *testing.T) {
	t.Parallel()
	for title, end := range map[string]func(*proxy, *testing.T){"stopped": (*proxy).stop, "killed": (*proxy).kill} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			k, closed := keep(t, end), title == "stopped"
			for _, args := range [][]string{
				{"check", "-json", "-config=" + k.config, k.file},
				{"check", k.file, "-json", "-config", k.config},
				{"stats", "--config=" + k.config, k.file, "--json"},
			} {
				r := k.state(t, 0, args...).report(t)
				if r.Path != k.file || r.Format != "2" || r.Protection != "file" || r.Closed != closed || !r.Opened || r.Size == 0 || (r.Ahead == 0) != closed {
					t.Errorf("%v: %+v", args, r)
				}
				if r.Records != keptRecords || r.Leases != keptLeases || r.Tokens != 1 || r.AutoAuth != 1 || r.Expired != 0 || r.Unreadable != 0 {
					t.Errorf("%v: %+v; want %d leases and two tokens", args, r, keptLeases)
				}
			}
			if r := k.state(t, 0, "stats", "-json", k.file).report(t); r.Opened || r.Leases != 0 || closed && r.Records != keptRecords {
				t.Errorf("without the key: %+v", r)
			}
		})
	}
}

// For people there are words: a verdict, or a table.
func TestStateCommandInWords(t *testing.T) {
	t.Parallel()
	k := keep(t, (*proxy).stop)
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"check", k.file, "-config", k.config}, []string{k.file + ": whole, and all of its 7 records can be read\n"}},
		{[]string{"check", k.file}, []string{k.file + ": whole, with 7 records, which were not opened: that takes the key, which -config names\n"}},
		{[]string{"stats", "-config", k.config, k.file}, []string{"\nleases 5\n", "\ntokens 1, and 1 of auto-auth\n", "\nunreadable 0\n", "closed in order\n"}},
		{[]string{"stats", k.file}, []string{"\nrecords 7 of ", "closed in order\n"}},
	} {
		p := k.state(t, 0, c.args...)
		words := oneSpace(p.out)
		for _, want := range c.want {
			if !strings.Contains(words, want) {
				t.Errorf("%v printed\n%s\nwant %q in it", c.args, p.out, want)
			}
		}
		if p.err != "" {
			t.Errorf("%v complained: %s", c.args, p.err)
		}
	}
	if p := k.state(t, 0, "stats", k.file); strings.Contains(p.out, "leases") {
		t.Errorf("counts of what was not opened:\n%s", p.out)
	}
}

// oneSpace makes one of the spaces that align a table.
func oneSpace(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return b.String()
}

// What has ended is still in the file, and told apart.
func TestStateCommandCountsWhatHasEnded(t *testing.T) {
	t.Parallel()
	dir, r := t.TempDir(), newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	hcl := keepingSecretID(persistent(shared.Address, r, dir))
	p := startProxy(t, hcl)
	p.read(t, "/v1/leaser/creds/command-ends?ttl=3&max_ttl=3")
	p.read(t, "/v1/leaser/creds/command-goes-on?ttl=600")
	p.kill(t)
	config := writeConfig(t, hcl)
	eventually(t, "one of two leases has ended", func() bool {
		r := leasehold(t, 0, "state", "stats", "-json", "-config="+config, filepath.Join(dir, stateFile)).report(t)
		if r.Leases != 2 {
			t.Fatalf("%+v; want 2 leases", r)
		}
		return r.Expired == 1
	})
}

// A file in use is refused, and whoever uses it does not notice.
func TestStateCommandOnAFileInUse(t *testing.T) {
	t.Parallel()
	dir, r := t.TempDir(), newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	hcl := persistent(shared.Address, r, dir)
	p, all := startProxy(t, hcl), leases{}
	all.more(t, p)
	config := writeConfig(t, hcl)
	for _, args := range [][]string{{"check"}, {"stats"}, {"stats", "-json"}, {"check", "-config=" + config}} {
		got := leasehold(t, 1, slices.Concat([]string{"state"}, args, []string{filepath.Join(dir, stateFile)})...)
		wantSentence(t, got, "another process holds it; stop that process, or choose another path")
		all.more(t, p)
	}
	mirror := &kept{dir: t.TempDir()} // as the usage advises
	for _, file := range []string{stateFile, stateFile + ".wal"} {
		if err := os.WriteFile(filepath.Join(mirror.dir, file), []byte(readFile(t, filepath.Join(dir, file))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := mirror.state(t, 0, "stats", "-json", "-config="+config, filepath.Join(mirror.dir, stateFile)).report(t); r.Leases != len(all) || r.Closed {
		t.Errorf("of a copy: %+v; want %d leases", r, len(all))
	}
	if lines := p.log.String(); strings.Contains(lines, "level=ERROR") || strings.Contains(lines, "level=WARN") {
		t.Errorf("the proxy noticed:\n%s", lines)
	}
	p.kill(t)
	startProxy(t, hcl).wantAll(t, all)
}

// wantSentence checks that there was nothing but one sentence on stderr, which begins with our name and has this text.
func wantSentence(t *testing.T, p printed, text string) {
	t.Helper()
	if p.out != "" || !strings.HasPrefix(p.err, "leasehold: ") || strings.Count(p.err, "\n") != 1 || !strings.Contains(p.err, text) {
		t.Errorf("printed %q and %q; want one sentence with %q", p.out, p.err, text)
	}
}

// A file that is not whole is said to be so, with and without its key, and left as it is.
func TestStateCommandOnADamagedFile(t *testing.T) {
	t.Parallel()
	for title, c := range map[string]struct {
		end   func(*proxy, *testing.T)
		spoil func(t *testing.T, k *kept)
		want  string
	}{
		"half": {(*proxy).stop, func(t *testing.T, k *kept) { k.rewrite(t, func(b []byte) []byte { return b[:len(b)/2] }) }, "damaged: it has fewer than its "},
		"type of a page": {(*proxy).stop, func(t *testing.T, k *kept) {
			k.rewrite(t, func(b []byte) []byte {
				for at := 2 * 4096; at < len(b); at += 4096 {
					b[at+9] ^= 1
				}
				return b
			})
		}, "damaged: page "},
		"both meta pages": {(*proxy).stop, func(t *testing.T, k *kept) {
			k.rewrite(t, func(b []byte) []byte { b[40] ^= 1; b[4096+40] ^= 1; return b })
		}, "not a state file"},
		"empty": {(*proxy).stop, func(t *testing.T, k *kept) { k.rewrite(t, func([]byte) []byte { return nil }) }, "it is empty"},
		"text":  {(*proxy).stop, func(t *testing.T, k *kept) { k.rewrite(t, func([]byte) []byte { return []byte("not a state file") }) }, "not a state file"},
		"nothing ahead": {(*proxy).kill, func(t *testing.T, k *kept) {
			if err := os.Remove(k.file + ".wal"); err != nil {
				t.Fatal(err)
			}
		}, "damaged: its write-ahead file is missing"},
		"newer": {(*proxy).stop, func(t *testing.T, k *kept) {
			k.update(t, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("3")) })
		}, "a newer version has written"},
		"of another program": {(*proxy).stop, func(t *testing.T, k *kept) {
			k.update(t, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("meta")) })
		}, "not a state file of Leasehold"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			k := keep(t, c.end)
			c.spoil(t, k)
			for _, args := range [][]string{{"check", k.file}, {"check", k.file, "-config=" + k.config}, {"stats", "-json", k.file}} {
				wantSentence(t, k.state(t, 1, args...), c.want)
			}
		})
	}
}

// rewrite changes the file as a disk might.
func (k *kept) rewrite(t *testing.T, change func([]byte) []byte) {
	t.Helper()
	if err := os.WriteFile(k.file, change([]byte(readFile(t, k.file))), 0o600); err != nil {
		t.Fatal(err)
	}
}

// update changes the file by bbolt, so that it stays whole.
func (k *kept) update(t *testing.T, change func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(k.file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// A whole file with a record that does not open: the rest is told, and the exit code is 1. Without the key nobody can know.
func TestStateCommandOnABadRecord(t *testing.T) {
	t.Parallel()
	k := keep(t, (*proxy).stop)
	k.update(t, func(tx *bbolt.Tx) error {
		records := tx.Bucket([]byte("records"))
		key, value := records.Cursor().First()
		value = bytes.Clone(value)
		value[len(value)/2] ^= 1
		return records.Put(key, value)
	})
	p := k.state(t, 1, "check", k.file, "-config="+k.config)
	if p.out != k.file+": whole, but not all of its 7 records\n" || !strings.HasPrefix(p.err, "leasehold: 1 of 7 records in "+k.file+" cannot be read; ") {
		t.Errorf("check printed %q and %q", p.out, p.err)
	}
	p = k.state(t, 1, "stats", "-json", k.file, "-config="+k.config)
	if r := p.report(t); r.Unreadable != 1 || r.Leases+r.Tokens+r.AutoAuth != keptRecords-1 {
		t.Errorf("stats: %+v", r)
	}
	k.state(t, 0, "check", k.file)
}

// The key has to be the file's own, and none is made.
func TestStateCommandWithAnotherKey(t *testing.T) {
	t.Parallel()
	k, other := keep(t, (*proxy).stop), keep(t, (*proxy).stop)
	wantSentence(t, k.state(t, 1, "check", k.file, "-config="+other.config), "sealed with another key")
	wantSentence(t, k.state(t, 1, "stats", k.file, "-config="+minimal(t)), "the configuration has no persist block; name the one that the state file belongs to")
	if err := os.Remove(filepath.Join(k.dir, "key")); err != nil {
		t.Fatal(err)
	}
	wantSentence(t, k.state(t, 1, "check", k.file, "-config="+k.config), "key does not exist; restore it")
	k.state(t, 0, "check", k.file)
}

func TestStateCommandWronglyCalled(t *testing.T) {
	t.Parallel()
	k := keep(t, (*proxy).stop)
	for _, args := range [][]string{
		nil, {"check"}, {"repair", k.file}, {"check", k.file, k.file}, {"check", "-frob", k.file}, {"check", k.file, "-frob"}, {"stats", k.file, "-config"},
		{"check", "-json=perhaps", k.file}, {k.file},
	} {
		if p := k.state(t, 1, args...); p.out != "" || strings.Count(p.err, "usage: leasehold state check|stats") != 1 {
			t.Errorf("%q printed %q and %q; want the usage once", args, p.out, p.err)
		}
	}
	for _, args := range [][]string{{"check", "-h"}, {"stats", "--help"}, {"check", k.file, "-h"}} {
		if p := k.state(t, 0, args...); !strings.Contains(p.out+p.err, "usage: leasehold state check|stats") {
			t.Errorf("%q printed %q and %q; want the usage", args, p.out, p.err)
		}
	}
	for _, c := range []struct{ file, want string }{
		{filepath.Join(k.dir, "nowhere"), "there is no such file; name the leasehold.db in the path of persist"},
		{k.dir, "it is not a regular file; name the leasehold.db in the path of persist"},
		{os.DevNull, "it is not a regular file"},
	} {
		for _, args := range [][]string{{"check", c.file}, {"stats", "-json", c.file, "-config=" + k.config}} {
			wantSentence(t, k.state(t, 1, args...), c.file+": "+c.want)
		}
	}
	wantSentence(t, k.state(t, 1, "check", k.file, "-config=/nowhere/proxy.hcl"), "/nowhere/proxy.hcl: no such file or directory; give -config ")
}
