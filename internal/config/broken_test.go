package config_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/internal/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// secretMark stands for every secret in the broken files. It may not be in what the user reads.
const secretMark = "hunter2"

// Each file of broken/, and each directory, has next to it what the user reads about it. With -update that is written anew: read the difference.
func TestBrokenFilesReadAsTheGoldenFilesSay(t *testing.T) {
	t.Chdir(filepath.Join("..", "..", "testdata", "config", "broken"))
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	cases, goldens := 0, 0
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, ".txt") {
			goldens++
			continue
		}
		cases++
		t.Run(name, func(t *testing.T) { checkBroken(t, name) })
	}
	if cases < 60 || cases != goldens {
		t.Errorf("%d broken configurations and %d golden files, want at least 60, and one for each", cases, goldens)
	}
}

// loadNamed reads what -config=name names, in an empty environment. With -strict when the name says so; Agent's files of templates with -ignore-unsupported.
func loadNamed(name string) (*config.Config, error) {
	return config.Load(config.Options{
		Paths: []string{name}, LookupEnv: env{}.lookup,
		Strict: strings.HasPrefix(name, "strict-"), IgnoreUnsupported: name == "agent-templates.hcl",
	})
}

func checkBroken(t *testing.T, name string) {
	t.Helper()
	cfg, err := loadNamed(name)
	if err == nil {
		t.Fatal("it loads")
	}
	problems, ok := errors.AsType[*config.Problems](err)
	if !ok {
		t.Fatalf("the error is a %T", err)
	}
	for _, p := range append(problems.Errors, problems.Warnings...) {
		if p.Text == "" || p.Remedy == "" || !strings.HasPrefix(p.Pos.File, name) {
			t.Errorf("a problem without its file, its text or its remedy: %s", p)
		}
	}
	got := err.Error() + "\n"
	if w := warnings(cfg, err); w != "" {
		got += "warnings:\n" + w + "\n"
	}
	if strings.Contains(got, secretMark) {
		t.Errorf("the secret is shown:\n%s", got)
	}
	golden := name + ".txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
