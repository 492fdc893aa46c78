package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/internal/config"
)

// maxFuzzInput bounds inputs in bytes: real files are smaller.
const maxFuzzInput = 16 << 10

// addSeeds gives the fuzzer every configuration that the other tests have, of one form.
func addSeeds(f *testing.F, extension string) {
	f.Helper()
	seeds := 0
	for _, room := range []string{"", "broken", "corpus"} {
		paths, err := filepath.Glob(filepath.Join("..", "..", "testdata", "config", room, "*"+extension))
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			src, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(src))
			seeds++
		}
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
}

// Whatever the HCL: every problem has a place within the file, and their number is bounded by the file's size.
func FuzzParseHCL(f *testing.F) {
	addSeeds(f, ".hcl")
	for _, src := range []string{
		strings.Repeat("a {", 63) + strings.Repeat("}", 63), strings.Repeat("x \"y\" ", 500) + "{}", "a = [" + strings.Repeat("1,", 2000) + "]",
		strings.Repeat("listener \"tcp\" {}\n", 200), "cache {\n" + strings.Repeat("rule \"a\" {}\n", 300) + "}\n" + tcp,
		"auto_auth {\n" + strings.Repeat(tokenSink, 100) + approle + "}\n",
	} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) { checkAnyText(t, src) })
}

// Whatever the JSON: as FuzzParseHCL, and what loads also loads, and means the same, when it is written anew on one line.
func FuzzParseJSON(f *testing.F) {
	addSeeds(f, ".json")
	for _, src := range []string{
		strings.Repeat(`{"a":`, 63) + "1" + strings.Repeat("}", 63), `{"listener":[` + strings.Repeat(`{"tcp":{}},`, 200) + `{}]}`,
		`{"auto_auth":{"a":{"method":{"jwt":{"config":{"path":"x","role":"y"}}},"sinks":[{"sink":{"file":{}}}]}}}`,
	} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		cfg := checkAnyText(t, src)
		var tree map[string]json.RawMessage
		if cfg == nil || json.Unmarshal([]byte(src), &tree) != nil {
			return
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(src)); err != nil {
			t.Fatal(err)
		}
		again, err := config.Parse("f", compact.Bytes(), config.Options{LookupEnv: env{}.lookup})
		if err != nil {
			t.Fatalf("it loads, but on one line it does not: %v", err)
		}
		if a, b := strings.Join(effective(cfg), "\n"), strings.Join(effective(again), "\n"); a != b {
			t.Errorf("on one line it means something else:\n%s\n\n%s", a, b)
		}
	})
}

// checkAnyText parses, and checks what holds of any text. It returns nil for one with problems.
func checkAnyText(t *testing.T, src string) *config.Config {
	t.Helper()
	if len(src) > maxFuzzInput {
		t.Skip("bounded, so that a slow reading is a defect and not a large file")
	}
	cfg, err := config.Parse("f", []byte(src), config.Options{LookupEnv: env{}.lookup})
	var found []config.Problem
	if err == nil {
		found = cfg.Warnings
	} else {
		problems, ok := errors.AsType[*config.Problems](err)
		if !ok || cfg != nil || len(problems.Errors) == 0 {
			t.Fatalf("got %v and the error %v (%T)", cfg, err, err)
		}
		found = append(problems.Errors, problems.Warnings...)
	}
	// What two things contradict is said once, not once for every pair of them.
	if limit := 20 + len(src); len(found) > limit {
		t.Errorf("%d problems in %d bytes", len(found), len(src))
	}
	src = strings.TrimPrefix(src, "\ufeff")
	lineCount := 1 + strings.Count(src, "\n")
	for _, p := range found {
		if p.Text == "" || p.Remedy == "" || strings.ContainsAny(p.String(), "\r\n\x00") {
			t.Errorf("not one complete line: %q", p.String())
		}
		if p.Pos.File != "f" || p.Pos.Line < 1 || p.Pos.Line > lineCount {
			t.Errorf("not a place within the %d lines: %s", lineCount, p)
		}
		if longest := 1000; len(p.String()) > longest {
			t.Errorf("a message of %d bytes: %.200s", len(p.String()), p)
		}
	}
	return cfg
}
