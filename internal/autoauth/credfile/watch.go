package credfile

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// DefaultPeriod is how often credentials are looked at that have no setting of their own for it.
const DefaultPeriod = time.Minute

const (
	// settle is how long directories must be quiet before their files are looked at: who replaces several files does not do so at once.
	settle = 100 * time.Millisecond
	// unrest is how long that may take in a directory that is never quiet.
	unrest = 2 * time.Second
	// maxLinks is how many links are followed on the way to a file; Linux follows as many.
	maxLinks = 40
)

// Watch calls changed each time differs reports that the files at paths are not what was used last, until ctx ends. Both are called from the caller's goroutine.
// It asks at once, when something happens in a directory that matters, and every period, which is above zero: file systems over a network tell nothing.
func Watch(ctx context.Context, period time.Duration, differs func() bool, changed func(), paths ...string) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil { // the system has no more of them, and the period has to do
		watcher = &fsnotify.Watcher{}
	} else {
		defer func() { _ = watcher.Close() }()
	}
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	var since time.Time // of the first event that has not been looked into; zero: there is none
	for {
		select {
		case <-ctx.Done():
			return
		case <-watcher.Events:
			since = postpone(quiet, since)
			continue
		case _, open := <-watcher.Errors: // events were lost
			if !open {
				return // only Close does that
			}
			since = postpone(quiet, since)
			continue
		case <-ticker.C:
			if !since.IsZero() { // somebody may be in the middle of writing, and quiet comes soon
				continue
			}
		case <-quiet.C:
		}
		since = time.Time{}
		if err == nil {
			follow(watcher, paths)
		}
		if differs() {
			changed()
		}
	}
}

// WatchFiles is Watch for files of which one or more have Changed.
func WatchFiles(ctx context.Context, period time.Duration, changed func(), files ...*File) {
	var paths []string
	for _, f := range files {
		f.Note()
		paths = append(paths, f.path)
	}
	Watch(ctx, period, func() bool { return slices.ContainsFunc(files, (*File).Changed) }, changed, paths...)
}

// postpone lets the timer wait until the directories settle, and returns since when it does.
func postpone(quiet *time.Timer, since time.Time) time.Time {
	if since.IsZero() {
		since = time.Now()
	}
	quiet.Reset(min(settle, unrest-time.Since(since)))
	return since
}

// follow has the watcher watch the directories that matter now, and no others. What it cannot watch, the period is for.
func follow(w *fsnotify.Watcher, paths []string) {
	for range 3 { // links may be replaced while they are followed; then it is the new way that has to be watched
		var wanted []string
		for _, path := range paths {
			if path, err := filepath.Abs(path); err == nil {
				wanted = append(wanted, directories(path, maxLinks)...)
			}
		}
		watched, fresh := w.WatchList(), false
		for _, dir := range wanted {
			// What is watched already is added once more: it may be a new directory of that name.
			if w.Add(dir) == nil && !slices.Contains(watched, dir) {
				fresh = true
			}
		}
		for _, dir := range watched {
			if !slices.Contains(wanted, dir) {
				_ = w.Remove(dir) // or it is gone by itself
			}
		}
		if !fresh {
			return
		}
	}
}

// directories are those in which something happens when the absolute path comes to lead to another file: that of the file, and those of the links on the way. When
// the way does not lead to its end, the last directory that there is stands for what may appear in it.
func directories(path string, links int) []string {
	at := filepath.VolumeName(path) + string(filepath.Separator)
	for name := range strings.SplitSeq(path[len(at):], string(filepath.Separator)) {
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		if err != nil {
			return []string{at}
		}
		if info.Mode()&fs.ModeSymlink != 0 && links > 0 {
			target, err := os.Readlink(next)
			if err != nil {
				return []string{at}
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(at, target)
			}
			return append(directories(filepath.Join(target, path[len(next):]), links-1), at)
		}
		at = next
	}
	return []string{filepath.Dir(at)}
}
