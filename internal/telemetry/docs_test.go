package telemetry_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"

	"leasehold/internal/telemetry"
)

var documentedName = regexp.MustCompile("`((?:vault|leasehold)_[a-z_]+)(?:\\{([a-z_,]+)\\})?`")

// documented are the names of all metrics in docs/operations.md, with their labels.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## What to watch\n")
	if !ok {
		t.Fatal("the section is gone")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	all := map[string]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, name := range documentedName.FindAllStringSubmatch(cells[0], -1) {
			labels := strings.Split(name[2], ",")
			slices.Sort(labels)
			all[name[1]] = strings.Join(labels, ",")
			if rest, ok := strings.CutPrefix(name[1], "vault_proxy_"); ok { // the sentence before the table says so
				all["vault_agent_"+rest] = strings.Join(labels, ",")
			}
		}
	}
	return all
}

var labelName = regexp.MustCompile(`([a-z_]+)="`)

// The list in the docs is what is there: nothing is missing, nothing was made up, and the labels are the same.
func TestMetricsAreThoseOfTheDocs(t *testing.T) {
	q := telemetry.NewRequests(routes, outcomes)
	m := metersOf(t, telemetry.Settings{Version: "1.2.3", Producers: []sdk.Producer{q}}, sources())
	q.Observe("kv", "HIT", 0, time.Millisecond)
	m.Asked(200, time.Millisecond)
	m.Retried("503")
	m.Committed(time.Millisecond)
	m.OwnError(502)
	text := asked(t, m, "?format=prometheus", "").Body.String()
	got := map[string]string{}
	kinds := map[string]string{}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(strings.TrimSpace(rest), " ")
			kinds[name] = kind
			continue
		}
		if !strings.HasPrefix(line, "vault_") && !strings.HasPrefix(line, "leasehold_") {
			continue
		}
		name, labels, _ := strings.Cut(line, "{")
		name, _, _ = strings.Cut(name, " ")
		for _, part := range [...]string{"_bucket", "_sum", "_count"} {
			if base := strings.TrimSuffix(name, part); kinds[base] == "histogram" {
				name = base
			}
		}
		var names []string
		for _, l := range labelName.FindAllStringSubmatch(labels, -1) {
			if l[1] != "le" {
				names = append(names, l[1])
			}
		}
		slices.Sort(names)
		got[name] = strings.Join(names, ",")
	}
	want := documented(t)
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if labels, there := want[name]; !there || labels != got[name] {
			t.Errorf("%s{%s} is not in docs/operations.md, which has it (%t) with {%s}", name, got[name], there, labels)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, there := got[name]; !there {
			t.Errorf("docs/operations.md has %s, which does not exist", name)
		}
	}
	for name, kind := range kinds { // what users' dashboards take rates of
		isCounter := kind == "counter"
		for _, end := range [...]string{"_success", "_failure", "_hit", "_miss", "_error", "_renewals", "_retries", "_refused", "_failed", "_denied"} {
			if strings.HasSuffix(name, end) && !isCounter && name != "leasehold_reload_last_success" {
				t.Errorf("%s is a %s", name, kind)
			}
		}
	}
}
