package telemetry_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/telemetry"
)

// openLogs opens logs with a file until the test ends.
func openLogs(t *testing.T, s telemetry.LogSettings) (*telemetry.Logs, *bytes.Buffer) {
	t.Helper()
	var stderr bytes.Buffer
	l, err := telemetry.OpenLogs(&stderr, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, &stderr
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// aside are the names of the files in dir but for the one that is written, in order.
func aside(t *testing.T, dir, active string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != active {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestTheFileHasWhatStandardErrorHas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leasehold.log")
	if err := os.WriteFile(path, []byte("of the last run\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, stderr := openLogs(t, telemetry.LogSettings{File: path, Level: slog.LevelWarn})
	l.Logger().Info("unheard")
	l.Logger().Warn("heard")
	l.SetLevel(slog.LevelInfo)
	l.Logger().Info("heard as well")
	if got := read(t, path); got != "of the last run\n"+stderr.String() || strings.Count(got, "heard") != 2 || strings.Contains(got, "unheard") {
		t.Errorf("file = %q, standard error = %q", got, stderr)
	}
}

func TestAFileInADirectory(t *testing.T) {
	dir := t.TempDir()
	l, _ := openLogs(t, telemetry.LogSettings{File: dir + string(filepath.Separator)})
	l.Logger().Info("said")
	path := filepath.Join(dir, "proxy.log")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("the file = %v, %v; want mode 0640 or what the umask leaves of it", info, err)
	}
	if got := read(t, path); !strings.Contains(got, "said") {
		t.Errorf("file = %q", got)
	}
}

func TestAFileThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{
		"no such directory": filepath.Join(dir, "none", "x.log"),
		"a directory":       dir,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := telemetry.OpenLogs(&bytes.Buffer{}, telemetry.LogSettings{File: path})
			if err == nil || !strings.HasPrefix(err.Error(), "log_file: ") || !strings.Contains(err.Error(), "; ") {
				t.Errorf("error = %v, want one with a remedy", err)
			}
		})
	}
}

func TestRotation(t *testing.T) {
	const line = 40 // bytes of a line of this test at the least
	for name, tc := range map[string]struct {
		file     string
		settings telemetry.LogSettings
		before   []string // files that are there
		pass     time.Duration
		says     int // lines, with pass before each
		want     int // files set aside
		other    []string
		ext      string
	}{
		"never":           {"x.log", telemetry.LogSettings{}, nil, time.Hour, 5, 0, nil, ".log"},
		"by size":         {"x.log", telemetry.LogSettings{RotateBytes: line}, nil, 0, 5, 4, nil, ".log"},
		"not yet by size": {"x.log", telemetry.LogSettings{RotateBytes: 100 * line}, nil, 0, 5, 0, nil, ".log"},
		"by time":         {"x.log", telemetry.LogSettings{RotateDuration: 24 * time.Hour}, nil, 9 * time.Hour, 6, 2, nil, ".log"},
		"keep two":        {"x.log", telemetry.LogSettings{RotateBytes: line, RotateMaxFiles: 2}, nil, 0, 5, 2, nil, ".log"},
		"keep none":       {"x.log", telemetry.LogSettings{RotateBytes: line, RotateMaxFiles: -1}, nil, 0, 5, 0, nil, ".log"},
		"no extension":    {"x", telemetry.LogSettings{RotateBytes: line}, nil, 0, 3, 2, nil, ".log"},
		"two dots":        {"x.y.txt", telemetry.LogSettings{RotateBytes: line}, nil, 0, 3, 2, nil, ".txt"},
		"old ones are removed at the start, by age and not by name": {
			"x.log", telemetry.LogSettings{RotateMaxFiles: 1}, []string{"x-9.log", "x-10.log"}, 0, 0, 1, nil, ".log",
		},
		"what is not ours stays": {
			"x.log", telemetry.LogSettings{RotateMaxFiles: -1}, []string{"x-audit.log", "x-1", "x-.log", "x-01.log", "xy-1.log", "x-+1.log", "x-1.log.gz"}, 0, 1, 0,
			[]string{"x-+1.log", "x-.log", "x-01.log", "x-1", "x-1.log.gz", "x-audit.log", "xy-1.log"}, ".log",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				for _, name := range tc.before {
					if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				tc.settings.File = filepath.Join(dir, tc.file)
				l, stderr := openLogs(t, tc.settings)
				for i := range tc.says {
					time.Sleep(tc.pass + time.Nanosecond) // names are told apart by it
					l.Logger().Info("said", slog.Int("number", i))
				}
				all, archived := "", 0
				for _, name := range aside(t, dir, tc.file) {
					if slices.Contains(tc.other, name) {
						continue
					}
					if archived++; !strings.HasPrefix(name, strings.TrimSuffix(tc.file, filepath.Ext(tc.file))+"-") || !strings.HasSuffix(name, tc.ext) {
						t.Errorf("a file set aside is named %s", name)
					}
					all += read(t, filepath.Join(dir, name))
				}
				all += read(t, tc.settings.File)
				if archived != tc.want {
					t.Errorf("set aside: %d, want %d: %v", archived, tc.want, aside(t, dir, tc.file))
				}
				if kept := tc.settings.RotateMaxFiles == 0; kept && all != stderr.String() {
					t.Errorf("the files together have\n%swant\n%s", all, stderr)
				}
				if tc.before != nil && tc.want == 1 && aside(t, dir, tc.file)[0] != "x-10.log" {
					t.Errorf("kept = %v, want the newest", aside(t, dir, tc.file))
				}
				if got := aside(t, dir, tc.file); tc.other != nil && !slices.Equal(got, tc.other) {
					t.Errorf("left = %v, want %v", got, tc.other)
				}
			})
		})
	}
}

// What an earlier run has left counts: a process that is started over and over would else never set a file aside.
func TestSizeCountsFromTheFile(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		l, err := telemetry.OpenLogs(&bytes.Buffer{}, telemetry.LogSettings{File: filepath.Join(dir, "x.log"), RotateBytes: 60})
		if err != nil {
			t.Fatal(err)
		}
		l.Logger().Info("a line of some thirty bytes and more")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(aside(t, dir, "x.log")); got != 2 {
		t.Errorf("set aside after three starts: %d, want 2", got)
	}
}

// logrotate moves the file, and then sends SIGHUP.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.log")
	l, _ := openLogs(t, telemetry.LogSettings{File: path})
	l.Logger().Info("first")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("second")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("third")
	if old, now := read(t, path+".1"), read(t, path); strings.Count(old, "\n") != 2 || strings.Count(now, "\n") != 1 || !strings.Contains(now, "third") {
		t.Errorf("moved file = %q, new file = %q", old, now)
	}
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err == nil {
		t.Error("a directory was opened as a log file")
	}
	l.Logger().Info("fourth")
	if old := read(t, path+".2"); !strings.Contains(old, "fourth") {
		t.Errorf("what was open is not in use any more: %q", old)
	}
}

// Somebody moves the file and tells nobody. It is noticed, but not before a logrotate had time to make the new one.
func TestAMovedFileIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.log")
		l, _ := openLogs(t, telemetry.LogSettings{File: path})
		l.Logger().Info("first")
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		l.Logger().Info("second")
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Fatalf("made anew at the first look: %v", err)
		}
		time.Sleep(6 * time.Second)
		l.Logger().Info("third")
		if got := read(t, path); !strings.Contains(got, "third") || strings.Contains(got, "second") {
			t.Errorf("file = %q", got)
		}
	})
}

// A file that refuses lines costs a warning when it begins and one when it ends.
func TestAFileThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.log")
		if err := os.Symlink("/dev/full", path); err != nil {
			t.Skip(err)
		}
		l, stderr := openLogs(t, telemetry.LogSettings{File: path, RotateBytes: 1, RotateDuration: time.Second})
		for i := range 3 {
			l.Logger().Info("lost", slog.Int("number", i))
		}
		if got := stderr.String(); strings.Count(got, "log_file cannot be written; ") != 1 || strings.Count(got, "lost") != 3 {
			t.Errorf("standard error = %q", got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
		l.Logger().Info("kept")
		if got := stderr.String(); strings.Count(got, "log_file is written again; it lacks 3 lines") != 1 {
			t.Errorf("standard error = %q", got)
		}
		if got := read(t, path); strings.Count(got, "\n") != 1 || !strings.Contains(got, "kept") {
			t.Errorf("file = %q", got)
		}
	})
}

// What is no file of ours alone is not renamed: /dev/stdout is a link, and root could.
func TestALinkIsNotSetAside(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "x.log")
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	l, _ := openLogs(t, telemetry.LogSettings{File: link, RotateBytes: 1})
	for range 3 {
		l.Logger().Info("said")
	}
	if got := read(t, target); strings.Count(got, "said") != 3 {
		t.Errorf("file = %q", got)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link = %v, %v", info, err)
	}
}

// Many write while the file is set aside, opened anew and the level changes: no line is lost or torn.
func TestLogsAreSafeForConcurrentUse(t *testing.T) {
	const writers, each = 8, 100
	dir := t.TempDir()
	path := filepath.Join(dir, "x.log")
	l, stderr := openLogs(t, telemetry.LogSettings{File: path, RotateBytes: 4 << 10})
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for n := range each {
				l.Logger().Info("said", slog.String("line", fmt.Sprintf("%d/%d", i, n)))
				if n%10 == 0 {
					l.SetLevel(slog.LevelInfo)
					if err := l.Reopen(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	got := read(t, path)
	for _, name := range aside(t, dir, "x.log") {
		got += read(t, filepath.Join(dir, name))
	}
	if a, b := sorted(got), sorted(stderr.String()); !slices.Equal(a, b) || len(a) != writers*each {
		t.Errorf("the files have %d lines and standard error %d, want the same %d", len(a), len(b), writers*each)
	}
}

func sorted(text string) []string {
	return slices.Sorted(strings.Lines(text))
}

// The error that ends the process stands in the file too; standard error has it from elsewhere.
func TestFatal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	l, stderr := openLogs(t, telemetry.LogSettings{File: path, Format: "logfmt"})
	l.Fatal(errors.New("the port is in use"))
	if got := read(t, path); !strings.HasSuffix(got, `level=ERROR msg=ended error="the port is in use"`+"\n") || stderr.Len() > 0 {
		t.Errorf("file = %q, standard error = %q", got, stderr)
	}
	none, _ := openLogs(t, telemetry.LogSettings{})
	none.Fatal(errors.New("no file"))
}

func TestLinesAfterCloseGoToStandardError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	l, stderr := openLogs(t, telemetry.LogSettings{File: path})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Logger().Error("late")
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	if got := read(t, path); got != "" || !strings.Contains(stderr.String(), "late") {
		t.Errorf("file = %q, standard error = %q", got, stderr)
	}
}
