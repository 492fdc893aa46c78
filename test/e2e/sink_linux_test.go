package e2e

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever becomes of the place of a sink while Leasehold runs: it goes on, readyz and the log say what is wrong and what to do, the other sink gets its
// tokens, and the sink catches up by itself.
func TestSinkOnABadDisk(t *testing.T) {
	for title, c := range map[string]struct {
		harm, repair func(t *testing.T, d *disk, dir string)
		want         string
		gone         bool // harm takes the old token away
	}{
		"full": {
			harm:   func(t *testing.T, d *disk, _ string) { d.fill(t) },
			repair: func(t *testing.T, d *disk, _ string) { d.free(t) },
			want:   "no space left on device; make room on the disk of ",
		},
		"read-only": {
			harm:   func(t *testing.T, d *disk, _ string) { d.remount(t, "ro") },
			repair: func(t *testing.T, d *disk, _ string) { d.remount(t, "rw") },
			want:   "read-only file system; mount ",
		},
		"directory removed": {
			harm:   func(t *testing.T, _ *disk, dir string) { must(t, os.RemoveAll(dir)) },
			repair: func(t *testing.T, _ *disk, dir string) { must(t, os.Mkdir(dir, 0o700)) },
			want:   "no such file or directory; create the directory ",
			gone:   true,
		},
		"a directory in its place": {
			harm: func(t *testing.T, _ *disk, dir string) {
				token := filepath.Join(dir, "token")
				must(t, errors.Join(os.Remove(token), os.MkdirAll(filepath.Join(token, "x"), 0o700)))
			},
			repair: func(t *testing.T, _ *disk, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "token"))) },
			want:   "; remove the directory ",
			gone:   true,
		},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t)
			dir, other := filepath.Join(d.here, "run"), filepath.Join(t.TempDir(), "token")
			must(t, os.Mkdir(dir, 0o700))
			path := filepath.Join(d.dir, "run", "token")
			r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
			p := startProxy(t, withSinks(shared, r, sinkStanza(path), sinkStanza(other)), d.found())
			exists(t, filepath.Join(dir, "token"))
			exists(t, other)
			old := readFile(t, filepath.Join(dir, "token"))
			remember(old)
			eventually(t, "readyz is content", func() bool { _, status := p.ready(t, "sink file "+path); return status == http.StatusOK })

			c.harm(t, d, dir)
			if err := shared.Client().Auth().Token().RevokeTree(old); err != nil {
				t.Fatal(err)
			}
			p.lease(t, "/v1/leaser/creds/bad-disk-"+strings.ReplaceAll(title, " ", "-")+"?ttl=600") // needs a new token
			p.waitLog(t, c.want)
			eventually(t, "readyz says what is wrong", func() bool {
				part, status := p.ready(t, "sink file "+path)
				// The first token was stored, and requests are answered: that is no reason to send them elsewhere.
				return status == http.StatusOK && part.Ready && part.Degraded && part.State == "token not stored" && strings.Contains(part.Reason, c.want)
			})
			eventually(t, "the other sink has the new token", func() bool { return readFile(t, other) != old })
			if !c.gone && readFile(t, filepath.Join(dir, "token")) != old {
				t.Error("the old token was damaged")
			}

			c.repair(t, d, dir)
			eventually(t, "the sink has the new token", func() bool {
				content, err := os.ReadFile(filepath.Join(dir, "token"))
				return err == nil && string(content) == readFile(t, other)
			})
			eventually(t, "readyz is content", func() bool { part, _ := p.ready(t, "sink file "+path); return part.State == "token stored" })
			wantLive(t, readFile(t, other))
			if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
				t.Errorf("beside the token: %v %v", list, err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
