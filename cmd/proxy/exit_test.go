package main

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/autoauth"
	"leasehold/internal/vault"
)

// The table of docs/operations.md has each exit code of exit.go and no other.
func TestExitCodesAreDocumented(t *testing.T) {
	src, err := parser.ParseFile(token.NewFileSet(), "exit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	ast.Inspect(src, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "exit") && len(spec.Values) == 1 {
			if value, ok := spec.Values[0].(*ast.BasicLit); ok {
				codes[value.Value] = true
			}
		}
		return true
	})
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "\n## Exit codes\n")
	table, _, _ = strings.Cut(table, "\n## ")
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| \S`).FindAllStringSubmatch(table, -1) {
		documented[row[1]] = true
	}
	if !found || len(codes) == 0 || !maps.Equal(codes, documented) {
		t.Errorf("exit.go has %v, docs/operations.md %v", slices.Sorted(maps.Keys(codes)), slices.Sorted(maps.Keys(documented)))
	}
}

func TestExitCodes(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want int
		says bool
	}{
		"done":    {nil, exitOK, false},
		"help":    {errors.Join(errUsage, flag.ErrHelp), exitOK, false},
		"usage":   {errUsage, exitFailure, false},
		"failed":  {errors.New("no port"), exitFailure, true},
		"refused": {fmt.Errorf("auto_auth: %w: %w", autoauth.ErrGaveUp, vault.ErrRefused), exitRefused, true},
		"away":    {fmt.Errorf("auto_auth: %w", autoauth.ErrGaveUp), exitAway, true},
	} {
		t.Run(name, func(t *testing.T) {
			var said strings.Builder
			if got := exitCode(io.Writer(&said), tc.err); got != tc.want || (said.Len() > 0) != tc.says {
				t.Errorf("exit code = %d, want %d; said %q", got, tc.want, said.String())
			}
		})
	}
}
