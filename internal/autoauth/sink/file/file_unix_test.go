//go:build unix

package file_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"leasehold/internal/autoauth/sink/file"
	"leasehold/internal/vault"
)

func TestModeIsExact(t *testing.T) {
	for name, tc := range map[string]struct{ give, want fs.FileMode }{
		"default":       {0, 0o640},
		"owner only":    {0o400, 0o400},
		"all may write": {0o666, 0o666},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			defer syscall.Umask(syscall.Umask(0o777)) // would leave nothing of any mode
			store(t, open(t, path, file.Options{Mode: tc.give}), "hvs.1")
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != tc.want {
				t.Errorf("mode %o, want %o", got, tc.want)
			}
		})
	}
}

func TestKeepExisting(t *testing.T) {
	for name, tc := range map[string]struct {
		keep        bool
		there, want fs.FileMode // there 0: no such file
	}{
		"kept":              {keep: true, there: 0o604, want: 0o604},
		"kept, and nothing": {keep: true, want: 0o600},
		"not kept":          {there: 0o604, want: 0o600},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			if tc.there != 0 {
				if err := errors.Join(os.WriteFile(path, []byte("hvs.old"), 0o600), os.Chmod(path, tc.there)); err != nil {
					t.Fatal(err)
				}
			}
			s := open(t, path, file.Options{Mode: 0o600, KeepExisting: tc.keep})
			for range 2 {
				store(t, s, "hvs.new")
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != tc.want {
					t.Errorf("mode %v (%v), want %o", info, err, tc.want)
				}
			}
			if !tc.keep {
				return
			}
			if err := os.Chmod(path, 0o640); err != nil { // by somebody, meanwhile
				t.Fatal(err)
			}
			store(t, s, "hvs.newer")
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("mode %v (%v), want that of the file as it was", info, err)
			}
		})
	}
}

func TestKeepExistingKeepsTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give files away")
	}
	path := filepath.Join(t.TempDir(), "token")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, 12345, 23456)); err != nil {
		t.Fatal(err)
	}
	store(t, open(t, path, file.Options{Owner: "1", Group: "1", KeepExisting: true}), "hvs.1")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t); got.Uid != 12345 || got.Gid != 23456 {
		t.Errorf("owner %d:%d, want 12345:23456", got.Uid, got.Gid)
	}
}

func TestAFullDiskLeavesTheOldTokenAndNoTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	s := open(t, path, file.Options{})
	store(t, s, "hvs.old")

	// A limit on the size of files fails a write as a full disk does, for root too.
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	full := limit
	full.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	err := s.Write(context.Background(), vault.NewToken("hvs.new"))
	_, openErr := file.Open(path, file.Options{})
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}

	if err == nil || openErr == nil || strings.Contains(err.Error(), "hvs.new") {
		t.Errorf("Write = %v, Open = %v; want errors without the token", err, openErr)
	}
	if got := names(t, dir); got != "token" {
		t.Errorf("left: %s", got)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "hvs.old" {
		t.Errorf("file holds %q (%v), want the old token", got, err)
	}
	store(t, s, "hvs.new") // there is room again
}

// Root may give files away; others may only try.
func TestOwnerAndGroup(t *testing.T) {
	for name, o := range map[string]file.Options{
		"numbers":    {Owner: "12345", Group: "23456"},
		"only group": {Group: "23456"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "token")
			s, err := file.Open(path, o)
			if os.Geteuid() != 0 {
				if err == nil || !strings.Contains(err.Error(), "uid "+strconv.Itoa(os.Geteuid())) {
					t.Errorf("Open = %v, want an error that says who may not", err)
				}
				if got := names(t, dir); got != "" {
					t.Errorf("Open left %s", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			store(t, s, "hvs.1")
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			want := syscall.Stat_t{Uid: 0, Gid: 23456}
			if o.Owner != "" {
				want.Uid = 12345
			}
			if got := info.Sys().(*syscall.Stat_t); got.Uid != want.Uid || got.Gid != want.Gid {
				t.Errorf("owner %d:%d, want %d:%d", got.Uid, got.Gid, want.Uid, want.Gid)
			}
		})
	}
}

func TestOwnersMayBeNamed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give files to the user root")
	}
	path := filepath.Join(t.TempDir(), "token")
	store(t, open(t, path, file.Options{Owner: "root", Group: "root"}), "hvs.1")
}

func TestAnUnwritableDirectoryIsFoundAtStart(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write anywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Open(filepath.Join(dir, "token"), file.Options{}); err == nil || !strings.Contains(err.Error(), "write to "+dir) {
		t.Errorf("Open = %v, want an error that says what to allow", err)
	}
}

func TestADirectoryThatCannotBeReadWillDo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	if err := os.Chmod(dir, 0o300); err != nil {
		t.Fatal(err)
	}
	store(t, open(t, path, file.Options{}), "hvs.1")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != "token" {
		t.Errorf("Write left %s", got)
	}
}
