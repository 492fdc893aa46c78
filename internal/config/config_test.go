package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/internal/config"
)

// tcp is the least that makes a file complete. It adds one line.
const tcp = `listener "tcp" { tls_disable = true }` + "\n"

// approle is an auto_auth method without problems, on one line.
const approle = `method "approle" { config = { role_id_file_path = "role" } }` + "\n"

// tokenSink is a sink without problems, on one line.
const tokenSink = `sink "file" { config = { path = "token" } }` + "\n"

// env is an environment with exactly these variables.
type env map[string]string

func (e env) lookup(name string) (string, bool) {
	v, ok := e[name]
	return v, ok
}

// parse reads src as the file t.hcl in an empty environment.
func parse(src string) (*config.Config, error) {
	return config.Parse("t.hcl", []byte(src), config.Options{LookupEnv: env{}.lookup})
}

// mustParse fails the test when src has problems.
func mustParse(t *testing.T, src string) *config.Config {
	t.Helper()
	cfg, err := parse(src)
	if err != nil {
		t.Fatalf("problems in a good file:\n%v\nin:\n%s", err, src)
	}
	return cfg
}

// lines joins problems the way an error does.
func lines(problems []config.Problem) string {
	all := make([]string, len(problems))
	for i, p := range problems {
		all[i] = p.String()
	}
	return strings.Join(all, "\n")
}

// warnings returns those of the file, whether it has errors or not.
func warnings(cfg *config.Config, err error) string {
	if problems, ok := errors.AsType[*config.Problems](err); ok {
		return lines(problems.Warnings)
	}
	return lines(cfg.Warnings)
}

// fixture reads a file that other rooms may use too.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("..", "..", "testdata", "config", name))
	if err != nil {
		t.Fatal(err)
	}
	return src
}
