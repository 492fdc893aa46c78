package config_test

import (
	"errors"
	"strings"
	"testing"

	"leasehold/internal/config"
)

func TestReportPointsAtTheKeyAndShowsNoValue(t *testing.T) {
	_, err := parse(tcp + "vault {\n  tls_skip_verify = \"maybe\" # hunter2\n  address = hunter2\n}\n")
	problems, ok := errors.AsType[*config.Problems](err)
	if !ok {
		t.Fatal(err)
	}
	if got := problems.Report(); strings.Contains(got, "hunter2") {
		t.Errorf("shows a value: %s", got)
	}
	_, err = parse(tcp + "vault {\n  tls_skip_verify = \"maybe\" # hunter2\n}\n")
	problems, _ = errors.AsType[*config.Problems](err)
	const want = `t.hcl:3:3: vault: tls_skip_verify must be true or false, not "maybe"; write for example tls_skip_verify = true
  3 | tls_skip_verify ...
    | ^`
	if got := problems.Report(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	_, err = parse(tcp + strings.Repeat("vault {}\n", 60))
	problems, _ = errors.AsType[*config.Problems](err)
	if got := problems.Report(); !strings.HasSuffix(got, "and 9 more") {
		t.Errorf("got:\n%s", got)
	}
}
