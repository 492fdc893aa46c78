package credfile

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

// maxSize is far above any credential: a larger file is a wrong path.
const maxSize = 64 << 10

// File is the place of one credential. It is for one goroutine.
type File struct {
	what   string
	path   string
	remove bool
	log    *slog.Logger
	last   string // the last good content; "" before the first
}

// New names the file at path; it need not exist yet. What says what is in it, for messages: "secret ID". With remove, the file is
// removed each time it has been read.
func New(what, path string, remove bool, log *slog.Logger) *File {
	return &File{what: what, path: path, remove: remove, log: log.With("credential", what, "file", path)}
}

// Path returns where the file is.
func (f *File) Path() string { return f.path }

// Read returns the file's content without the white space around it. A file that is missing, unreadable or empty gives what it
// held the last time, and an error only if there was no such time. Failing to remove the file is not an error of Read.
func (f *File) Read() (string, error) {
	s, err := read(f.path)
	if err != nil {
		if f.last == "" {
			return "", fmt.Errorf("read the %s: %w; write it to %s", f.what, err, f.path)
		}
		tell := f.log.Warn
		if f.remove && errors.Is(err, fs.ErrNotExist) {
			tell = f.log.Debug // we removed it
		}
		tell("using what the file held before", "error", err)
		return f.last, nil
	}
	f.last = s
	if f.remove {
		if err := os.Remove(f.path); err != nil {
			f.log.Warn("the file stays on disk", "error", err)
		}
	}
	return s, nil
}

func read(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", errors.New("not a regular file") // opening a pipe would wait for its writer
	case info.Size() > maxSize:
		return "", fmt.Errorf("larger than %d KiB", maxSize>>10)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(b))
	if s == "" {
		return "", errors.New("the file is empty")
	}
	return s, nil
}
