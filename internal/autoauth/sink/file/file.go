package file

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"leasehold/internal/secretfile"
	"leasehold/internal/vault"
)

// DefaultMode lets the owner write and the group read.
const DefaultMode fs.FileMode = 0o640

// Options tune a Sink.
type Options struct {
	// Mode has permission bits, whatever the umask; default DefaultMode. On Windows, only whether others may read counts: then the file has the rights that
	// its directory hands down, and else secretfile's.
	Mode  fs.FileMode
	Owner string // name or number; default: the process's. Ignored on Windows, as is Group
	Group string

	// KeepExisting gives the file the mode, owner and group of the one that it replaces. The three above are then for a file that is not there yet.
	// Ignored on Windows.
	KeepExisting bool
}

// Sink is a file with the bare token, without a newline. Readers see the old token or the new one, and nothing between.
type Sink struct {
	path string
	new  access // of a file that is not there yet
	keep bool
}

// access is who may do what with a file.
type access struct {
	mode     fs.FileMode
	uid, gid int // -1: as it is
}

// Open checks that a token can be stored at path, by writing and removing a file beside it. It also removes what a crash
// in the middle of a write left behind. The file at path is not touched.
func Open(path string, o Options) (*Sink, error) {
	s := &Sink{path: path, new: access{mode: o.Mode, uid: -1, gid: -1}, keep: o.KeepExisting}
	if s.new.mode == 0 {
		s.new.mode = DefaultMode
	}
	var err error
	if runtime.GOOS != "windows" {
		if s.new.uid, err = number(o.Owner, ownerID); err != nil {
			return nil, fmt.Errorf("%s: owner: %w", s.Name(), err)
		}
		if s.new.gid, err = number(o.Group, groupID); err != nil {
			return nil, fmt.Errorf("%s: group: %w", s.Name(), err)
		}
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name(), err)
	}
	return s, nil
}

// Name names the sink in the log.
func (s *Sink) Name() string { return "file " + s.path }

// Write is Store for the bare token.
func (s *Sink) Write(ctx context.Context, t vault.Token) error {
	return s.Store(ctx, []byte(t.Reveal()))
}

// Store replaces the file. After an error the file holds the old content, or the new one if only the disk's confirmation failed.
func (s *Sink) Store(ctx context.Context, content []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	temp, err := s.writeTemp(content)
	if err != nil {
		return s.remedied(err)
	}
	if err := os.Rename(temp, s.path); err != nil {
		return s.remedied(errors.Join(err, os.Remove(temp)))
	}
	return s.remedied(syncDir(filepath.Dir(s.path)))
}

// check does everything that Store does, except to replace the file.
func (s *Sink) check() error {
	if info, err := os.Stat(s.path); err == nil && info.IsDir() {
		return errIsDirectory
	}
	if err := s.removeLeftovers(); err != nil {
		return fmt.Errorf("remove temporary files of an earlier run: %w", err)
	}
	temp, err := s.writeTemp([]byte("write check"))
	if err == nil {
		err = os.Remove(temp)
	}
	return s.remedied(err)
}

// writeTemp stores content in a file beside the target and returns its path. After an error there is no such file.
func (s *Sink) writeTemp(content []byte) (string, error) {
	a, err := s.access()
	if err != nil {
		return "", err
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	temp := s.path + ".tmp." + hex.EncodeToString(random[:])
	open := secretfile.OpenFile
	if a.mode&0o004 != 0 {
		open = os.OpenFile // on Windows: who may read it is for the directory to say
	}
	f, err := open(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	if err := errors.Join(fill(f, content, a), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(temp))
	}
	return temp, nil
}

// access is what the next file is to have.
func (s *Sink) access() (access, error) {
	if !s.keep || runtime.GOOS == "windows" { // where the bits of a file say nothing of its list of rights
		return s.new, nil
	}
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.new, nil
	case err != nil:
		return access{}, err
	}
	return accessOf(info), nil
}

func fill(f *os.File, content []byte, a access) error {
	// The owner first: with the final mode, the process's own group could open the file in between.
	if a.uid != -1 || a.gid != -1 {
		if err := f.Chown(a.uid, a.gid); err != nil {
			return err
		}
	}
	mode := a.mode
	if runtime.GOOS == "windows" {
		mode |= 0o200 // what is read-only cannot be replaced there
	}
	if err := f.Chmod(mode); err != nil { // the mode of OpenFile would be cut by the umask (AUT-18)
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Sync()
}

// tempSuffix is how the temporary files of any run end.
var tempSuffix = regexp.MustCompile(`^\.tmp\.[0-9a-f]{8}$`)

func (s *Sink) removeLeftovers() error {
	dir, base := filepath.Split(s.path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return nil // a directory may be writable without being readable
	}
	for _, e := range entries {
		suffix, ours := strings.CutPrefix(e.Name(), base)
		if !ours || !tempSuffix.MatchString(suffix) || !e.Type().IsRegular() {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// syncDir makes a rename in dir survive a power failure, where that can be asked for: not on Windows, not in a directory that
// may be written but not read, and not on every file system.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// number returns the id that a name stands for, or the number itself; -1 for "".
func number(name string, lookup func(string) (string, error)) (int, error) {
	if name == "" {
		return -1, nil
	}
	if n, err := strconv.Atoi(name); err == nil {
		return n, nil
	}
	id, err := lookup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(id)
}

func ownerID(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func groupID(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}
