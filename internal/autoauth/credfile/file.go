package credfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/vault"
)

// maxSize is far above any credential: a larger file is a wrong path.
const maxSize = 64 << 10

// Options tune a File.
type Options struct {
	Remove         bool   // Settle removes what was read
	FollowSymlinks bool   // Remove removes what a link leads to, and not the link
	Verbatim       bool   // the content ends where the file does, less one line ending; else all white space around it is cut
	Remedy         string // what to do when there never was a content; default: "write it to" the path
}

// File is the place of one credential. Its methods may be called from any goroutine.
type File struct {
	what string
	path string
	opts Options
	log  *slog.Logger

	mu   sync.Mutex  // held while the file is read, and released before any call of others
	last string      // the last good content; "" before the first
	info fs.FileInfo // of the file that was read and is to be removed; nil for none
	seen string      // what was there when Watch began and nothing had been read; "" for nothing
}

// New names the file at path; it need not exist yet. What says what is in it, for messages: "secret ID".
func New(what, path string, log *slog.Logger, o Options) *File {
	return &File{what: what, path: path, opts: o, log: log.With("credential", what, "file", path)}
}

// Path returns where the file is.
func (f *File) Path() string { return f.path }

// Read returns the file's content. A file that is missing, unreadable or empty gives what it held the last time, and an error only
// if there was no such time.
func (f *File) Read() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, info, err := f.read()
	if err != nil {
		if f.last == "" {
			return "", fmt.Errorf("read the %s: %w; %s", f.what, err, cmp.Or(f.opts.Remedy, "write it to "+f.path))
		}
		tell := f.log.Warn
		if f.opts.Remove && errors.Is(err, fs.ErrNotExist) {
			tell = f.log.Debug // we removed it
		}
		tell("using what the file held before", "error", err)
		return f.last, nil
	}
	f.last = s
	if f.opts.Remove {
		f.info = info
	}
	return s, nil
}

// Settle removes the file that was read, with Options.Remove, when Vault has taken or refused what was in it; err is that of the request it went with. As long as
// Vault cannot answer the file stays: else a restart would have nothing to log in with.
func (f *File) Settle(err error) {
	if answer, ok := errors.AsType[*api.ResponseError](err); err != nil && (!ok || !vault.Refuses(answer.StatusCode)) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.info == nil {
		return
	}
	if err := f.remove(f.info); err != nil {
		f.log.Warn("the file stays on disk", "error", err)
	}
	f.info = nil
}

// Changed reports whether the file has another content than the last Read has returned, or, before the first, than Note has seen. One that is missing,
// unreadable or empty has not.
func (f *File) Changed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, _, err := f.read()
	return err == nil && s != f.last && (f.last != "" || s != f.seen)
}

// Note takes what the file has now for used, if nothing was read yet: a token that a restart has found good was got with it, most likely, and to log in
// again would be for nothing. With Options.Remove it does nothing: what was used would not be there.
func (f *File) Note() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == "" && !f.opts.Remove {
		f.seen, _, _ = f.read()
	}
}

// Watch is WatchFiles for one file.
func (f *File) Watch(ctx context.Context, period time.Duration, changed func()) {
	WatchFiles(ctx, period, changed, f)
}

// remove removes the file that was read, described by info. One that has taken its place meanwhile stays, to be read the next time.
func (f *File) remove(info fs.FileInfo) error {
	now, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if !os.SameFile(info, now) || info.Size() != now.Size() || !info.ModTime().Equal(now.ModTime()) {
		return nil
	}
	if !f.opts.FollowSymlinks {
		return os.Remove(f.path)
	}
	target, err := filepath.EvalSymlinks(f.path)
	if err != nil {
		return err
	}
	return os.Remove(target)
}

func (f *File) read() (string, fs.FileInfo, error) {
	b, info, err := readRegular(f.path)
	if err != nil {
		return "", nil, err
	}
	s := string(b)
	if f.opts.Verbatim {
		s = strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
	} else {
		s = strings.TrimSpace(s)
	}
	if s == "" {
		return "", nil, errors.New("the file is empty")
	}
	return s, info, nil
}

// readRegular reads a file and describes what it has read.
func readRegular(path string) ([]byte, fs.FileInfo, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, nil, err
	} else if !info.Mode().IsRegular() {
		return nil, nil, errors.New("not a regular file") // opening a pipe would wait for its writer
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err == nil && len(b) > maxSize {
		err = fmt.Errorf("larger than %d KiB", maxSize>>10)
	}
	return b, info, err
}
