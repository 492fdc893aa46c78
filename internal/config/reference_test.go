package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/config"
)

var generated = regexp.MustCompile(`(?s)<!-- table: ([a-z_.]+) -->\n(.*?)<!-- end -->`)

// The reference has the tables that files are read by, all of them, as they are now. -update writes them anew.
func TestReference(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "configuration.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	want := generated.ReplaceAllStringFunc(string(text), func(block string) string {
		stanza := generated.FindStringSubmatch(block)[1]
		name := strings.TrimSuffix(stanza, "top")
		found = append(found, name)
		return "<!-- table: " + stanza + " -->\n" + config.Reference(name) + "<!-- end -->"
	})
	same := []string{"auto_auth.sinks", "listener.agent_api", "auto_auth.method.config.pcf"} // each has the keys of another
	for _, stanza := range config.Stanzas() {
		if !slices.Contains(found, stanza) && !slices.Contains(same, stanza) {
			t.Errorf("the reference has no table of %q", stanza)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Error("docs/configuration.md is stale; run go test ./internal/config -run TestReference -update, and read the difference")
	}
}

func TestEveryKeyIsExplained(t *testing.T) {
	for _, key := range config.Undocumented() {
		t.Errorf("%s has no sentence in the reference; give its row a doc", key)
	}
}
