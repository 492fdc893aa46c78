//go:build unix

package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"leasehold/internal/store"
)

func init() {
	children["writes until killed"] = writeUntilKilled
	children["full disk"] = fillDisk
	children["read-only"] = beReadOnly
}

// child prepares this binary to run as a child in dir, killed if the test hangs.
func child(t *testing.T, name, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "LEASEHOLD_TEST_CHILD="+name)
	return cmd
}

const writers = 8

func writer(i int) string { return fmt.Sprint("writer ", i) }

// writeUntilKilled counts up in each writer's two records, and prints each number once it is on disk.
func writeUntilKilled() error {
	b, err := benchIn(".")
	if err != nil {
		return err
	}
	s, err := b.try(strict)
	if err != nil {
		return err
	}
	last, _, err := read(s)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for i := range writers {
		n, _ := strconv.Atoi(last[writer(i)])
		go func() {
			for {
				n++
				if err := s.Write(context.Background(), put(writer(i), fmt.Sprint(n)), put(writer(i)+" again", fmt.Sprint(n))); err != nil {
					failed <- err
				}
				fmt.Fprintln(os.Stdout, i, n) // one write to the pipe
			}
		}()
	}
	return <-failed
}

func TestWhatWasAcknowledgedOutlivesAKill(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(5, 6))
	var acknowledged [writers]int
	for range 60 {
		cmd := child(t, "writes until killed", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		left := 1 + random.IntN(100)
		for lines := bufio.NewScanner(out); lines.Scan(); left-- { // on after the kill: what was printed before it counts
			var i, n int
			if _, err := fmt.Sscan(lines.Text(), &i, &n); err != nil {
				t.Fatalf("%q: %v", lines.Text(), err)
			}
			acknowledged[i] = n
			if left == 1 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); left > 0 {
			t.Fatalf("the child ended by itself: %v", err)
		}

		b, err := benchIn(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.try(strict)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := read(s)
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range acknowledged {
			stored, _ := strconv.Atoi(got[writer(i)])
			if stored != n && stored != n+1 { // the kill may have come between commit and print
				t.Errorf("%s: %d is stored after %d was acknowledged", writer(i), stored, n)
			}
			acknowledged[i] = stored
			if got[writer(i)] != got[writer(i)+" again"] {
				t.Errorf("%s: half a write is stored: %q and %q", writer(i), got[writer(i)], got[writer(i)+" again"])
			}
		}
		closeStore(t, s)
		if t.Failed() {
			return
		}
	}
}

// fillDisk writes while no byte beyond a third of the file can be written, and then while all can.
func fillDisk() error {
	b, err := benchIn(".")
	if err != nil {
		return err
	}
	s, err := b.try(strict)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(7, 8))
	want := map[string]string{}
	ctx := context.Background()
	step := func() error {
		name, value := fmt.Sprint("record ", random.IntN(50)), strings.Repeat("x", random.IntN(3000))
		if err := s.Write(ctx, put(name, value), put(name+" again", value)); err != nil {
			return err
		}
		want[name], want[name+" again"] = value, value
		return nil
	}
	for range 100 {
		if err := step(); err != nil {
			return err
		}
	}
	info, err := os.Stat(b.path)
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ)
	var whole syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &whole); err != nil {
		return err
	}
	limit := func(size int64) error {
		little := whole
		little.Cur = uint64(size)
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &little)
	}
	if err := limit(0); err != nil {
		return err
	}
	other := *b
	other.path = "other.db"
	if _, err := other.try(strict); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "free space") || b.log.Len() > 0 {
		return fmt.Errorf("a new file on a full disk: error = %v, log = %s", err, b.log)
	}
	later, err := other.try(store.Options{})
	if err != nil || strings.Count(b.log.String(), "the disk refuses the state file") != 1 {
		return fmt.Errorf("the same without exit_on_err: error = %v, log = %s", err, b.log)
	}
	if err := later.Write(ctx, put("a", "1")); err == nil || !strings.Contains(err.Error(), "free space") {
		return fmt.Errorf("a write while there is no file: %w", err)
	}
	if err := limit(info.Size() / 3); err != nil {
		return err
	}
	failures := 0
	for range 100 {
		if err := step(); err != nil {
			failures++
			if !errors.Is(err, syscall.EFBIG) && !strings.Contains(err.Error(), "too large") || !strings.Contains(err.Error(), "free space") {
				return fmt.Errorf("the error does not tell what to do: %w", err)
			}
		}
		if got, skipped, err := read(s); err != nil || skipped > 0 || !maps.Equal(got, want) {
			return fmt.Errorf("after %d failed writes: %d records, %d skipped, %v; want the %d of the others", failures, len(got), skipped, err, len(want))
		}
	}
	if failures == 0 {
		return errors.New("no write failed: the test tests nothing")
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &whole); err != nil {
		return err
	}
	for range 100 {
		if err := step(); err != nil {
			return fmt.Errorf("with space again: %w", err)
		}
	}
	if err := errors.Join(later.Write(ctx, put("a", "2")), later.Close()); err != nil {
		return fmt.Errorf("a file that could not be begun, with space again: %w", err)
	}
	if later, err = other.try(strict); err != nil {
		return err
	}
	if got, _, err := read(later); err != nil || !maps.Equal(got, map[string]string{"a": "2"}) {
		return fmt.Errorf("a file that was begun later holds %v, %w", got, err)
	}
	if err := errors.Join(later.Close(), s.Close()); err != nil {
		return err
	}
	if s, err = b.try(strict); err != nil {
		return err
	}
	if got, _, err := read(s); err != nil || !maps.Equal(got, want) {
		return fmt.Errorf("after a restart: %d records, %v, want %d", len(got), err, len(want))
	}
	return s.Close()
}

func TestAFullDiskCostsOnlyTheWritesThatFindItFull(t *testing.T) {
	if err := child(t, "full disk", t.TempDir()).Run(); err != nil {
		t.Error(err)
	}
}

// beReadOnly opens state files that it must not change.
func beReadOnly() error {
	b, err := benchIn(".")
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 { // root may do everything
		if err := errors.Join(syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			return err
		}
	}
	for dir, want := range map[string][2]string{ // with exit_on_err, and without
		"none":     {"let uid", ""},
		"no right": {"let uid", "move it away before the next start"},
		"bad":      {"move it away", "cannot be set aside"},
	} {
		b.path = filepath.Join(dir, "state.db")
		if _, err := b.try(strict); err == nil || !strings.Contains(err.Error(), want[0]) {
			return fmt.Errorf("%s: with exit_on_err: error = %v, want %s", dir, err, want[0])
		}
		s, err := b.try(store.Options{})
		if want[1] == "" {
			if err != nil || s.Write(context.Background(), put("a", "1")) == nil {
				return fmt.Errorf("%s: error = %w, or a write went well", dir, err)
			}
		} else if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), want[1]) {
			return fmt.Errorf("%s: error = %v, want %s", dir, err, want[1])
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) > 1 {
			return fmt.Errorf("%s: it holds %v, %v", dir, names, err)
		}
	}
	return nil
}

func TestAReadOnlyDirectoryIsRefusedWithARemedy(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) {
		path := filepath.Join(dir, name, "state.db")
		err := os.Mkdir(filepath.Dir(path), 0o700)
		if mode != 0 {
			err = errors.Join(err, os.WriteFile(path, []byte(content), 0o600), os.Chmod(path, mode))
		}
		if err := errors.Join(err, os.Chmod(filepath.Dir(path), 0o555)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(filepath.Dir(path), 0o700) }) // so that it can be removed
	}
	file("none", "", 0)
	file("no right", "content", 0o200)
	file("bad", "content", 0o600)
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Join(dir, "bad", "state.db"), 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	if err := child(t, "read-only", dir).Run(); err != nil {
		t.Error(err)
	}
}
