package config

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// secretWord stands for the value of a secret. It is not in quotes, so that no file with it in place of the secret can load.
const secretWord = "(secret)"

// Show writes settings as a file would have them, stanza by stanza, each with its source behind it. Without secrets the text is a configuration that means the
// same: defaults of nothing, and what has no key in a file, are comments.
func Show(settings []Setting) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	var open []string // the blocks around the last setting
	for _, s := range settings {
		if s.keyless {
			continue
		}
		parts := strings.Split(s.Path, ".")
		open = reopen(w, open, parts[:len(parts)-1])
		_, _ = fmt.Fprintf(w, "%s%s\n", indent(len(open)), s.line(parts[len(parts)-1]))
	}
	reopen(w, open, nil)
	for _, s := range settings {
		if s.keyless {
			_, _ = fmt.Fprintf(w, "# %s = %s\t# %s\n", s.Path, s.written(), s.Source.words())
		}
	}
	_ = w.Flush() // to memory
	return b.String()
}

// reopen closes the blocks that end and opens those that begin. It returns what is open.
func reopen(w *tabwriter.Writer, open, want []string) []string {
	same := 0
	for same < min(len(open), len(want)) && open[same] == want[same] {
		same++
	}
	for depth := len(open) - 1; depth >= same; depth-- {
		_, _ = fmt.Fprintf(w, "%s}\n", indent(depth))
	}
	for depth := same; depth < len(want); depth++ {
		name, _, _ := strings.Cut(want[depth], "[")
		if depth == 0 {
			_, _ = fmt.Fprintln(w)
		}
		_, _ = fmt.Fprintf(w, "%s%s {\n", indent(depth), name)
	}
	return slices.Clone(want)
}

func indent(depth int) string { return strings.Repeat("  ", depth) }

// line is the setting in a file. A default of nothing would be a mistake where the key must not be empty.
func (s Setting) line(key string) string {
	note := s.Source.words()
	if s.Note != "" && s.Source.Kind == SourceDefault {
		note += ": " + s.Note
	} else if s.Note != "" {
		note += ", " + s.Note
	}
	if s.nothing() && s.Source.Kind == SourceDefault {
		return fmt.Sprintf("# %s = none\t# %s", key, note)
	}
	return fmt.Sprintf("%s = %s\t# %s", key, s.written(), note)
}

// nothing reports whether the value is empty.
func (s Setting) nothing() bool {
	switch v := s.Value.(type) {
	case string:
		return v == ""
	case []string:
		return len(v) == 0
	case map[string]string:
		return len(v) == 0
	case os.FileMode:
		return v == 0
	default:
		return false
	}
}

// written is the value as it stands in a file.
func (s Setting) written() string {
	if s.Secret {
		return secretWord
	}
	switch v := s.plain().(type) {
	case string:
		return quoted(v)
	case []string:
		all := make([]string, len(v))
		for i, text := range v {
			all[i] = quoted(text)
		}
		return "[" + strings.Join(all, ", ") + "]"
	case int64:
		if text := bytesWritten(v); strings.HasSuffix(text, "B") {
			return strconv.Quote(text)
		}
		return strconv.FormatInt(v, 10)
	default:
		return fmt.Sprint(v)
	}
}

// quoted is a text in HCL, where a bare ${ would begin something else.
func quoted(s string) string { return strings.ReplaceAll(strconv.Quote(s), "${", `\x24{`) }

// plain is the value as text, list, number (of bytes) or boolean.
func (s Setting) plain() any {
	switch v := s.Value.(type) {
	case time.Duration:
		if v < 0 {
			return -1 // no limit
		}
		return durationWritten(v)
	case os.FileMode:
		return fmt.Sprintf("%04o", v)
	case TokenUse:
		if v == Force {
			return v.String()
		}
		return v == WhenAbsent
	case []string:
		return append([]string{}, v...) // [] and not null
	default:
		return v
	}
}

// words name a source: file:line, the variable, or the flag.
func (s Source) words() string {
	switch s.Kind {
	case SourceFile:
		return strings.ReplaceAll(s.Pos.String(), "\n", " ") // it stands in a comment
	case SourceDefault:
		return "default"
	default:
		return s.Name
	}
}

// sourceKinds are the words for them in JSON.
var sourceKinds = [...]string{SourceDefault: "default", SourceFile: "file", SourceEnvironment: "environment", SourceFlag: "flag"}

// MarshalJSON implements json.Marshaler: path, value, source of kind, name or file and line, and where they say something, secret and note.
func (s Setting) MarshalJSON() ([]byte, error) {
	type source struct {
		Kind string `json:"kind"`
		Name string `json:"name,omitempty"`
		File string `json:"file,omitempty"`
		Line int    `json:"line,omitempty"`
	}
	shown := s.plain()
	if s.Secret {
		shown = secretWord
	}
	return json.Marshal(struct {
		Path   string `json:"path"`
		Value  any    `json:"value"`
		Secret bool   `json:"secret,omitempty"`
		Source source `json:"source"`
		Note   string `json:"note,omitempty"`
	}{s.Path, shown, s.Secret, source{sourceKinds[s.Source.Kind], s.Source.Name, s.Source.Pos.File, s.Source.Pos.Line}, s.Note})
}
