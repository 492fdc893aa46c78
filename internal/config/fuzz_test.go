package config_test

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/config"
)

// Whatever the bytes: an answer, always the same one, and every problem complete and in order.
func FuzzParse(f *testing.F) {
	fixtures, err := filepath.Glob(filepath.Join("..", "..", "testdata", "config", "*.[hj]*"))
	if err != nil || len(fixtures) == 0 {
		f.Fatalf("no fixtures: %v", err)
	}
	for _, path := range fixtures {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	for _, src := range []string{
		"", "{", "{}", "[]", "a", "a =", "a = [", "a = <<E\nE\n", "a = <<-E\n  x\n  E\n", "a = <<E\nE", "\x00", "\xff", "\ufeff{}",
		`a = "${b{}}"`, `a "b" "c" {}`, "a = 0x", "a = 1e9999", "a = 08", "/*", "a = \"\\U0010ffff\"", `{"a":[{"b":null}]}`, `{"a":1}{`,
		"listener = []", "cache { persist = [[]] }", `auto_auth { sinks { sink = [{ file {} }] } }`, "vault { retry = [{}, {}] }", tcp,
	} {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		o := config.Options{LookupEnv: env{}.lookup}
		cfg, err := config.Parse("f", src, o)
		again, errAgain := config.Parse("f", src, o)
		if !reflect.DeepEqual(cfg, again) || !reflect.DeepEqual(err, errAgain) {
			t.Fatal("two readings of the same bytes differ")
		}
		if err == nil {
			checkProblems(t, cfg.Warnings)
			return
		}
		problems, ok := errors.AsType[*config.Problems](err)
		if !ok || cfg != nil || len(problems.Errors) == 0 {
			t.Fatalf("got %v and the error %v (%T)", cfg, err, err)
		}
		checkProblems(t, problems.Errors)
		checkProblems(t, problems.Warnings)
	})
}

func checkProblems(t *testing.T, problems []config.Problem) {
	t.Helper()
	inOrder := slices.IsSortedFunc(problems, func(a, b config.Problem) int { return cmp.Compare(a.Pos.Line, b.Pos.Line) })
	if !inOrder {
		t.Errorf("not in file order:\n%s", lines(problems))
	}
	for _, p := range problems {
		if p.Text == "" || p.Remedy == "" || strings.ContainsAny(p.String(), "\r\n\x00") {
			t.Errorf("not one complete line: %q", p.String())
		}
	}
}
