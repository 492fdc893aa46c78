package credfile_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"leasehold/internal/autoauth/credfile"
)

// patience bounds the wait for what must happen; never is a period in which no test ends, so that only an event can have been the reason.
const (
	patience = 15 * time.Second
	never    = time.Hour
)

// watching is one Watch of a file that was read last.
type watching struct {
	file   *credfile.File
	looked chan struct{} // capacity 1: a look has found nothing new
	told   chan struct{} // capacity 1
}

// watch reads the file, if it is there, and watches it until the test ends.
func watch(t *testing.T, path string, period time.Duration, o credfile.Options) *watching {
	t.Helper()
	w := &watching{
		file:   credfile.New("secret ID", path, slog.New(slog.DiscardHandler), o),
		looked: make(chan struct{}, 1),
		told:   make(chan struct{}, 1),
	}
	_, _ = w.file.Read() // some tests begin without a file
	w.file.Settle(nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	go func() {
		defer close(ended)
		credfile.Watch(ctx, period, func() bool {
			if w.file.Changed() {
				return true
			}
			notify(w.looked)
			return false
		}, func() { notify(w.told) }, path)
	}()
	return w
}

func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("after %v still not: %s", patience, what)
	}
}

// wantRead waits for the notice and reads.
func (w *watching) wantRead(t *testing.T, want string) {
	t.Helper()
	await(t, w.told, "a notice of "+want)
	if got, err := w.file.Read(); err != nil || got != want {
		t.Fatalf("Read after the notice = %q, %v, want %q", got, err, want)
	}
	w.file.Settle(nil)
}

func replace(t *testing.T, path, content string) {
	t.Helper()
	write(t, path+".new", content)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// link lets a link lead to target, in place of what it led to before, in one step.
func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// Each case prepares a path with the content "first", if any, and two ways in which another content comes there.
func TestEventsTellOfNewContent(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string) (path string, second, third func()){
		"written to": func(t *testing.T, dir string) (string, func(), func()) {
			path := filepath.Join(dir, "id")
			write(t, path, "first")
			return path, func() { write(t, path, "second") }, func() { write(t, path, "third") }
		},
		"renamed over": func(t *testing.T, dir string) (string, func(), func()) {
			path := filepath.Join(dir, "id")
			write(t, path, "first")
			return path, func() { replace(t, path, "second") }, func() { replace(t, path, "third") }
		},
		"removed and returned": func(t *testing.T, dir string) (string, func(), func()) {
			path := filepath.Join(dir, "id")
			write(t, path, "first")
			again := func(content string) func() {
				return func() {
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
					write(t, path, content)
				}
			}
			return path, again("second"), again("third")
		},
		"the ..data link of a Kubernetes volume": func(t *testing.T, dir string) (string, func(), func()) {
			path, data := filepath.Join(dir, "id"), filepath.Join(dir, "..data")
			put := func(version, content string) {
				write(t, filepath.Join(mkdir(t, filepath.Join(dir, "..v"+version)), "id"), content)
				link(t, "..v"+version, data)
			}
			put("1", "first")
			link(t, filepath.Join("..data", "id"), path)
			return path, func() { put("2", "second") }, func() { put("3", "third") }
		},
		"a link of a directory on the way": func(t *testing.T, dir string) (string, func(), func()) {
			put := func(version, content string) {
				v := mkdir(t, filepath.Join(dir, "elsewhere", version))
				write(t, filepath.Join(mkdir(t, filepath.Join(v, "sub")), "id"), content)
				link(t, v, filepath.Join(dir, "elsewhere", "current"))
			}
			put("1", "first")
			mkdir(t, filepath.Join(dir, "here"))
			link(t, "../elsewhere/current", filepath.Join(dir, "here", "creds"))
			return filepath.Join(dir, "here", "creds", "sub", "id"), func() { put("2", "second") }, func() { put("3", "third") }
		},
		"the file behind a link": func(t *testing.T, dir string) (string, func(), func()) {
			target := filepath.Join(mkdir(t, filepath.Join(dir, "elsewhere")), "id")
			write(t, target, "first")
			link(t, target, filepath.Join(dir, "id"))
			return filepath.Join(dir, "id"), func() { replace(t, target, "second") }, func() { replace(t, target, "third") }
		},
		"a directory that appears later": func(t *testing.T, dir string) (string, func(), func()) {
			path := filepath.Join(dir, "a", "b", "id")
			return path, func() {
				write(t, filepath.Join(mkdir(t, filepath.Dir(path)), "id"), "second")
			}, func() { replace(t, path, "third") }
		},
		"a directory that is replaced": func(t *testing.T, dir string) (string, func(), func()) {
			path := filepath.Join(mkdir(t, filepath.Join(dir, "creds")), "id")
			write(t, path, "first")
			return path, func() {
				write(t, filepath.Join(mkdir(t, filepath.Join(dir, "new")), "id"), "second")
				if err := os.RemoveAll(filepath.Dir(path)); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(filepath.Join(dir, "new"), filepath.Dir(path)); err != nil {
					t.Fatal(err)
				}
			}, func() { replace(t, path, "third") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, second, third := prepare(t, t.TempDir())
			w := watch(t, path, never, credfile.Options{})
			await(t, w.looked, "the first look")
			second()
			w.wantRead(t, "second")
			third()
			w.wantRead(t, "third")
		})
	}
}

func TestWhatIsNoNewContent(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "id")
	write(t, path, "first")
	w := watch(t, path, never, credfile.Options{Remove: true})
	await(t, w.looked, "the first look")
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"the same once more", func() { replace(t, path, "first\n") }},
		{"empty", func() { replace(t, path, "\n") }},
		{"missing", func() { _ = os.Remove(path) }},
		{"a directory", func() { mkdir(t, path) }},
	} {
		select {
		case <-w.looked: // at what was before
		default:
		}
		c.do()
		await(t, w.looked, "a look at: "+c.name) // only an event can be its reason
		select {
		case <-w.told:
			t.Errorf("%s: taken for new content", c.name)
		default:
		}
	}
	_ = os.Remove(path)
	replace(t, path, "second")
	w.wantRead(t, "second")
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file stays: %v", err)
	}
}

// A file system over a network tells nothing.
func TestThePeriodFindsWhatNoEventTells(t *testing.T) {
	t.Parallel()
	var fresh atomic.Bool
	looked, told := make(chan struct{}, 1), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		credfile.Watch(ctx, 5*time.Millisecond, func() bool {
			notify(looked)
			return fresh.Load()
		}, func() { notify(told) }, filepath.Join(t.TempDir(), "id"))
	}()
	await(t, looked, "the first look")
	fresh.Store(true)
	await(t, told, "a notice")
	cancel()
	await(t, ended, "the end of Watch")
}

// In a directory that is never quiet, files are looked at all the same.
func TestABusyDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "id")
	write(t, path, "first")
	w := watch(t, path, never, credfile.Options{})
	await(t, w.looked, "the first look")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				_ = os.WriteFile(filepath.Join(dir, "noise"), nil, 0o600)
			}
		}
	}()
	defer func() {
		close(stop)
		<-stopped
	}()
	replace(t, path, "second")
	w.wantRead(t, "second")
}

func TestFileWatch(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "id")
	f := credfile.New("secret ID", path, slog.New(slog.DiscardHandler), credfile.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	ended, told := make(chan struct{}), make(chan struct{}, 1)
	go func() {
		defer close(ended)
		f.Watch(ctx, never, func() { notify(told) })
	}()
	writing, enough := make(chan struct{}), make(chan struct{})
	go func() { // until the watch has begun, what is there is no news
		defer close(writing)
		for i := 0; ; i++ {
			_ = os.WriteFile(path, fmt.Append(nil, "content ", i), 0o600)
			select {
			case <-enough:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	await(t, told, "a notice")
	close(enough)
	<-writing
	cancel()
	await(t, ended, "the end of Watch")
}
