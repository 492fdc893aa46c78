package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/internal/config"
)

// Examples are copied, so each loads under -strict, without a warning, and is named in the list. So does the file that packages install.
func TestExamplesLoadWithoutAWord(t *testing.T) {
	root := filepath.Join("..", "..")
	dir := filepath.Join(root, "examples")
	list, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 16 {
		t.Errorf("%d examples, some are missing", len(entries))
	}
	paths := []string{filepath.Join(root, "packaging", "leasehold.hcl")}
	for _, e := range entries {
		if e.Name() == "README.md" {
			continue
		}
		if !strings.Contains(string(list), "]("+e.Name()+")") {
			t.Errorf("README.md does not name %s", e.Name())
		}
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			cfg, err := config.Load(config.Options{Paths: []string{path}, LookupEnv: env{}.lookup, Strict: true})
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(cfg.Warnings); got != "" {
				t.Errorf("warnings:\n%s", got)
			}
		})
	}
}
