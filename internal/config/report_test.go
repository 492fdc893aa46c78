package config_test

import (
	"errors"
	"strings"
	"testing"

	"leasehold/internal/config"
)

func TestReportPointsAtTheKeyAndShowsNoSecret(t *testing.T) {
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

// What can hold no secret is shown whole, since it is what the eye looks for.
func TestReportShowsTheLine(t *testing.T) {
	for line, want := range map[string]string{
		`exit_after_auth = "perhaps"`:              `exit_after_auth = "perhaps"`,
		"exit_after_auth = \"perhaps\"  ":          `exit_after_auth = "perhaps"`,
		`exit_after_auth = "perhaps" # hunter2`:    "exit_after_auth ...",
		`vault { address = 5, x = "hunter2" }`:     "address ...",
		`vault { address = 5 }`:                    "address = 5",
		`vault { address = "http://u:hunter2@x" }`: "", // the place is the value's
		`cache { max_size = "a lot" }`:             `max_size = "a lot"`,
	} {
		_, err := parse(tcp + line + "\n")
		problems, ok := errors.AsType[*config.Problems](err)
		if !ok {
			if want != "" {
				t.Errorf("%s loads", line)
			}
			continue
		}
		got := problems.Report()
		if want != "" && !strings.Contains(got, "2 | "+want+"\n") || strings.Contains(got, "hunter2") {
			t.Errorf("of %q:\n%s\nwant %q", line, got, want)
		}
	}
}
