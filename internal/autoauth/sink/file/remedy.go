package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

var errIsDirectory = errors.New("it is a directory; name a file in it")

// remedied says what a person can do about an error of the disk. Whatever it was, the next attempt begins anew.
func (s *Sink) remedied(err error) error {
	if err == nil {
		return nil
	}
	dir := filepath.Dir(s.path)
	parent, parentErr := os.Stat(dir)
	target, targetErr := os.Stat(s.path)
	remedy := fmt.Sprintf("see to the disk of %s", dir)
	switch {
	case errors.Is(parentErr, fs.ErrNotExist):
		remedy = fmt.Sprintf("create the directory %s, writable for uid %d", dir, os.Geteuid())
	case parentErr == nil && !parent.IsDir():
		remedy = fmt.Sprintf("%s is not a directory: choose a path in one", dir)
	case targetErr == nil && target.IsDir():
		remedy = fmt.Sprintf("remove the directory %s, or name a file in it", s.path)
	case errors.Is(err, syscall.EROFS):
		remedy = fmt.Sprintf("mount %s for writing, or choose a path elsewhere", dir)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		remedy = fmt.Sprintf("make room on the disk of %s", dir)
	case errors.Is(err, fs.ErrPermission) && s.keep:
		remedy = fmt.Sprintf("let uid %d write to %s and give files to the owner of %s, or remove keep_existing", os.Geteuid(), dir, s.path)
	case errors.Is(err, fs.ErrPermission):
		remedy = fmt.Sprintf("let uid %d write to %s and set the configured owner, group and mode", os.Geteuid(), dir)
	}
	return fmt.Errorf("%w; %s", err, remedy)
}
