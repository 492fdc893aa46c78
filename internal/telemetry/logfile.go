package telemetry

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// defaultLogName is the file's name when log_file ends in a separator, and defaultAccessName the one for access_log.
	defaultLogName    = "proxy.log"
	defaultAccessName = "access.log"
	// lookEvery is how often a write looks whether the name still leads to the file that is open.
	lookEvery = 5 * time.Second
	// rotateAgain is how long a file that could not be set aside grows on before the next try.
	rotateAgain = time.Minute
	// pipePatience is how long a pipe may take a line: its reader must not hold up the process.
	pipePatience = time.Second
)

// logFile is the file of log_file, or of access_log. It has its name while it is written; a full one is renamed to <base>-<unix nanoseconds><ext>. What
// goes wrong with it costs lines in the file and nothing else: those of log_file stand on standard error too.
type logFile struct {
	key      string // what names it
	where    string // its lines are that it does not take
	path     string
	settings LogSettings
	stderr   io.Writer // for what is wrong with the file itself

	mu      sync.Mutex // guards what follows
	file    *os.File   // nil when it could not be opened again, or after Close
	size    int64      // bytes in it
	pipe    bool       // or something else that is no file
	opened  time.Time
	looked  time.Time
	moved   bool // at the last look the name led to something else, or to nothing
	torn    bool // it ends in the midst of a line
	lost    int  // lines that it did not take
	closed  bool
	notYet  time.Time // no rotation before
	grumble bool      // that it cannot be set aside was said
}

func openLogFile(s LogSettings, stderr io.Writer) (*logFile, error) {
	f := &logFile{key: "log_file", where: "stand here only", path: fileIn(s.File, defaultLogName), settings: s, stderr: stderr}
	if err := f.open(); err != nil {
		return nil, err
	}
	f.prune()
	return f, nil
}

// fileIn is the path of a file, which has this name when the path ends in a separator.
func fileIn(path, name string) string {
	if os.IsPathSeparator(path[len(path)-1]) {
		return path + name
	}
	return path
}

// open opens the file by its name. A pipe that nobody reads is an error rather than a start that hangs.
func (f *logFile) open() error {
	flags := os.O_WRONLY | os.O_APPEND | os.O_CREATE
	if runtime.GOOS != "windows" {
		flags |= syscall.O_NONBLOCK
	}
	file, err := os.OpenFile(f.path, flags, 0o640) // #nosec G302 -- log_file has mode 0640 in Vault: log shippers read it by group
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if f.file != nil {
		_ = f.file.Close() // each write to it has told its error
	}
	f.file, f.size, f.pipe, f.opened, f.moved = file, info.Size(), !info.Mode().IsRegular(), time.Now(), false
	return nil
}

// write appends a line, and reports whether the file has taken it.
func (f *logFile) write(line []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.follow()
	f.rotateIfDue()
	if err := f.append(line); err != nil {
		if f.lost++; f.lost == 1 {
			f.say(f.key+" cannot be written; its lines "+f.where+", until it can", err)
		}
		return false
	}
	if f.lost > 0 {
		f.say(fmt.Sprintf("%s is written again; it lacks %d lines", f.key, f.lost), nil)
		f.lost = 0
	}
	return true
}

func (f *logFile) append(line []byte) error {
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	if f.torn { // what is left of the last line must not look like the begin of this one
		line = append([]byte{'\n'}, line...)
	}
	if f.pipe {
		patience := pipePatience
		if f.lost > 0 { // it has had its time
			patience = time.Millisecond
		}
		_ = f.file.SetWriteDeadline(time.Now().Add(patience)) // a device may have none, and takes what it is given
	}
	n, err := f.file.Write(line)
	f.size += int64(n)
	if n > 0 {
		f.torn = n < len(line)
	}
	return err
}

// follow opens the file anew when its name has led elsewhere at two looks: somebody has moved it away and told nobody. One look is not enough,
// because a logrotate may be between its renaming and its creating.
func (f *logFile) follow() {
	now := time.Now()
	if f.file == nil || now.Sub(f.looked) < lookEvery {
		return
	}
	f.looked = now
	moved := !f.isCurrent(os.Stat)
	if moved && f.moved {
		_ = f.open() // what was open stays in use
		return
	}
	f.moved = moved
}

// isCurrent reports whether the name leads to the file that is open.
func (f *logFile) isCurrent(stat func(string) (fs.FileInfo, error)) bool {
	named, err := stat(f.path)
	if err != nil {
		return false
	}
	open, err := f.file.Stat()
	return err == nil && os.SameFile(named, open)
}

// rotateIfDue sets a file aside that is large or old enough. It checks before a write, as Vault does, so that no line is cut in two.
func (f *logFile) rotateIfDue() {
	s, now := f.settings, time.Now()
	large := s.RotateBytes > 0 && f.size >= s.RotateBytes
	old := s.RotateDuration > 0 && now.Sub(f.opened) >= s.RotateDuration
	if f.file == nil || !large && !old || now.Before(f.notYet) {
		return
	}
	if f.pipe || !f.isCurrent(os.Lstat) { // a device, a link, or moved away: not ours to rename
		f.notYet = now.Add(rotateAgain)
		return
	}
	if err := f.rotate(now); err != nil {
		f.notYet = now.Add(rotateAgain)
		if !f.grumble {
			f.say(f.key+" cannot be set aside and grows on", err)
			f.grumble = true
		}
		return
	}
	f.grumble = false
	f.prune()
}

// rotate leaves the open file in use when it cannot be renamed. Windows renames no open file, so that it is closed first.
func (f *logFile) rotate(now time.Time) error {
	base, ext := f.archive()
	aside := base + strconv.FormatInt(now.UnixNano(), 10) + ext
	if _, err := os.Lstat(aside); err == nil {
		return fmt.Errorf("%s exists", aside)
	}
	if runtime.GOOS == "windows" {
		_ = f.file.Close() // each write to it has told its error
		f.file = nil
	}
	if err := os.Rename(f.path, aside); err != nil {
		return errors.Join(err, f.reopened())
	}
	f.torn = false
	return f.open()
}

// reopened opens the file if it was closed for its renaming.
func (f *logFile) reopened() error {
	if f.file != nil {
		return nil
	}
	return f.open()
}

// archive is what stands before and behind the number in the name of a file that was set aside.
func (f *logFile) archive() (base, ext string) {
	ext = filepath.Ext(f.path)
	base = strings.TrimSuffix(f.path, ext) + "-"
	if ext == "" {
		ext = ".log"
	}
	return base, ext
}

// prune removes the oldest of the files that were set aside, and those only: a name that has anything but a number in it is somebody else's.
func (f *logFile) prune() {
	if f.settings.RotateMaxFiles == 0 {
		return
	}
	base, ext := f.archive()
	entries, err := os.ReadDir(filepath.Dir(f.path))
	if err != nil {
		f.say("old files of "+f.key+" cannot be listed", err)
		return
	}
	var numbers []int64
	for _, e := range entries {
		middle, ok := strings.CutPrefix(e.Name(), filepath.Base(base))
		middle, has := strings.CutSuffix(middle, ext)
		if n, err := strconv.ParseInt(middle, 10, 64); ok && has && err == nil && strconv.FormatInt(n, 10) == middle && e.Type().IsRegular() {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range numbers[:max(0, len(numbers)-max(f.settings.RotateMaxFiles, 0))] {
		if err := os.Remove(base + strconv.FormatInt(n, 10) + ext); err != nil {
			f.say("an old file of "+f.key+" cannot be removed", err)
			return
		}
	}
}

// say tells on standard error what is wrong with the file. It goes past the logger, which is waiting for this very line.
func (f *logFile) say(what string, err error) {
	if err != nil {
		what += ": " + err.Error()
	}
	_, _ = fmt.Fprintln(f.stderr, "warning:", what) // there is nowhere else to tell it
}

// Reopen opens the file anew by its name; what was open stays in use on an error.
func (f *logFile) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.torn = false
	return f.open()
}

// Close ends the writing.
func (f *logFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.file == nil {
		f.closed = true
		return nil
	}
	f.closed = true
	return f.file.Close()
}
