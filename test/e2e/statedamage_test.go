package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

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
