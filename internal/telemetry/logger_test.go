package telemetry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leasehold/internal/telemetry"
)

const trace = slog.LevelDebug - 4

func TestLoggerLevels(t *testing.T) {
	levels := []slog.Level{trace, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	names := []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR"}
	for i, level := range levels {
		for _, format := range []string{"json", "logfmt", "standard", ""} {
			t.Run(names[i]+" "+format, func(t *testing.T) {
				var b bytes.Buffer
				log := telemetry.NewLogger(&b, level, format)
				for _, l := range levels {
					log.Log(t.Context(), l, "said", slog.String("at", l.String()))
				}
				if got := levelsIn(t, b.String(), format); !slices.Equal(got, names[i:]) {
					t.Errorf("levels = %v, want %v", got, names[i:])
				}
			})
		}
	}
}

var (
	logfmtLine   = regexp.MustCompile(`^time=\S+ level=(\w+) msg=said at=\S+\n$`)
	standardLine = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[(\w+)\] {1,2}proxy: said: at=\S+\n$`)
)

// levelsIn returns the level of each line.
func levelsIn(t *testing.T, text, format string) (levels []string) {
	t.Helper()
	form := standardLine
	if format == "logfmt" {
		form = logfmtLine
	}
	for line := range strings.Lines(text) {
		if format == "json" {
			var record struct{ Level, Msg string }
			if err := json.Unmarshal([]byte(line), &record); err != nil || record.Msg != "said" {
				t.Errorf("line %q: %v", line, err)
			}
			levels = append(levels, record.Level)
			continue
		}
		found := form.FindStringSubmatch(line)
		if found == nil {
			t.Errorf("line %q", line)
			continue
		}
		levels = append(levels, found[1])
	}
	return levels
}

func TestTheLevelCanChange(t *testing.T) {
	for _, format := range []string{"standard", "logfmt"} {
		var b bytes.Buffer
		var level slog.LevelVar
		log := telemetry.NewLogger(&b, &level, format)
		log.Debug("unheard")
		level.Set(slog.LevelDebug)
		log.Debug("heard")
		if got := b.String(); strings.Contains(got, "unheard") || !strings.Contains(got, "heard") {
			t.Errorf("log = %q", got)
		}
	}
}

// Only the record's own level is renamed; attributes keep their names and values.
func TestAttributesAreLeftAlone(t *testing.T) {
	var b bytes.Buffer
	telemetry.NewLogger(&b, trace, "logfmt").WithGroup("vault").With("level", trace).Info("said", "seen", slog.LevelError, "level", "own")
	if got := b.String(); !strings.Contains(got, "level=INFO msg=said vault.level=DEBUG-4 vault.seen=ERROR vault.level=own") {
		t.Errorf("log = %q", got)
	}
}

// hidden is a secret that says so.
type hidden struct{}

func (hidden) LogValue() slog.Value { return slog.StringValue("[redacted]") }

func TestStandardLines(t *testing.T) {
	at := time.Date(2026, 1, 2, 4, 4, 5, 678999999, time.FixedZone("", 3600))
	for name, tc := range map[string]struct {
		log  func(slog.Handler) slog.Handler
		said string
		with []any
		want string
	}{
		"no pairs":              {nil, "said", nil, "said"},
		"pairs":                 {nil, "said", []any{"a", 1, "b", "x"}, "said: a=1 b=x"},
		"a value with a blank":  {nil, "said", []any{"a", "x y"}, `said: a="x y"`},
		"lines in a value":      {nil, "said", []any{"a", "x\ny"}, `said: a="x\ny"`},
		"lines in a message":    {nil, "said\n2026 [ERROR] forged", nil, `said\n2026 [ERROR] forged`},
		"names of a line's own": {nil, "said", []any{"level", slog.LevelError, "msg", "m", "time", "t"}, "said: level=ERROR msg=m time=t"},
		"and given before":      {func(h slog.Handler) slog.Handler { return h.WithAttrs([]slog.Attr{slog.String("msg", "m")}) }, "said", []any{"a", 1}, "said: msg=m a=1"},
		"groups": {func(h slog.Handler) slog.Handler {
			return h.WithGroup("g").WithAttrs([]slog.Attr{slog.Int("a", 1)}).WithGroup("h")
		}, "said", []any{"b", 2}, "said: g.a=1 g.h.b=2"},
		"a group without a pair": {func(h slog.Handler) slog.Handler { return h.WithGroup("g") }, "said", nil, "said"},
		"a secret":               {nil, "said", []any{"a", hidden{}}, "said: a=[redacted]"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			h := telemetry.NewLogger(&b, slog.LevelInfo, "standard").Handler()
			if tc.log != nil {
				h = tc.log(h)
			}
			r := slog.NewRecord(at, slog.LevelInfo, tc.said, 0)
			r.Add(tc.with...)
			if err := h.Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if got, want := b.String(), "2026-01-02T03:04:05.678Z [INFO]  proxy: "+tc.want+"\n"; got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

// whole counts writes that are one whole line.
type whole struct{ lines, other int }

func (w *whole) Write(b []byte) (int, error) {
	if standardLine.Match(b) {
		w.lines++
	} else {
		w.other++
	}
	return len(b), nil
}

func TestLinesOfManyStayWhole(t *testing.T) {
	const writers, each = 8, 50
	var w whole
	log := telemetry.NewLogger(&w, slog.LevelInfo, "standard")
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for range each / 2 {
				log.Info("said", slog.Int("at", i))
				log.With(slog.Int("at", i)).Info("said")
			}
		})
	}
	all.Wait()
	if w.lines != writers*each || w.other != 0 {
		t.Errorf("%d whole lines and %d other writes, want %d and none", w.lines, w.other, writers*each)
	}
}

// Whatever is said, and whatever it is about, it is one line with the right head.
func FuzzStandardLine(f *testing.F) {
	f.Add("said", "key", "value")
	f.Add("a\nb", "k\n", "\x1b[31m")
	f.Add("", "", "")
	f.Add("\u2028", "level", "\x00")
	f.Fuzz(func(t *testing.T, message, key, value string) {
		var b bytes.Buffer
		telemetry.NewLogger(&b, slog.LevelInfo, "standard").With(slog.String(key, value)).Info(message, slog.String(key, value))
		head := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[INFO\]  proxy: `)
		if got := b.String(); !head.MatchString(got) || strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") || strings.ContainsAny(got, "\x00\x1b\r") {
			t.Errorf("line = %q", got)
		}
	})
}
