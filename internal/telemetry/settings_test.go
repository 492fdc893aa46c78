package telemetry_test

import (
	"os"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/metric"

	"leasehold/internal/telemetry"
)

func TestWhatPassesTheFilter(t *testing.T) {
	const hit, miss, entries, seconds, goroutines = "vault_proxy_cache_hit", "vault_proxy_cache_miss", "leasehold_cache_entries", "leasehold_requests_active", "go_goroutines"
	for name, tc := range map[string]struct {
		settings telemetry.Settings
		want     string // of the five, those that pass
	}{
		"no rule":                    {telemetry.Settings{}, "hit miss entries active go"},
		"all blocked":                {telemetry.Settings{BlockOthers: true}, ""},
		"one blocked":                {telemetry.Settings{Filter: []string{"-vault.proxy.cache.hit"}}, "miss entries active go"},
		"the longest decides":        {telemetry.Settings{Filter: []string{"+vault.proxy.cache.hit", "-vault.proxy"}}, "hit entries active go"},
		"in either order":            {telemetry.Settings{Filter: []string{"-vault.proxy", "+vault.proxy.cache.hit"}}, "hit entries active go"},
		"one let through":            {telemetry.Settings{BlockOthers: true, Filter: []string{"+leasehold.cache"}}, "entries"},
		"what is produced elsewhere": {telemetry.Settings{Filter: []string{"-leasehold.requests.active"}}, "hit miss entries go"},
		"the runtime":                {telemetry.Settings{BlockOthers: true, Filter: []string{"+go."}}, "go"},
		"another prefix":             {telemetry.Settings{Prefix: "p", Filter: []string{"-vault"}}, "entries active go"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.settings.Producers = []sdk.Producer{telemetry.NewRequests(routes, outcomes)}
			_, types := scrape(t, metersOf(t, tc.settings, sources()), "/proxy/v1/metrics")
			var got []string
			for _, one := range []struct{ word, metric string }{{"hit", hit}, {"miss", miss}, {"entries", entries}, {"active", seconds}, {"go", goroutines}} {
				if types[one.metric] != "" {
					got = append(got, one.word)
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("passed: %v, want %s", got, tc.want)
			}
		})
	}
}

func TestPrefixStandsBeforeVaultsNames(t *testing.T) {
	_, types := scrape(t, metersOf(t, telemetry.Settings{Prefix: "edge"}, sources()), "/proxy/v1/metrics")
	for name, want := range map[string]bool{
		"edge_proxy_cache_hit": true, "edge_agent_authenticated": true, "edge_runtime_num_goroutines": true, "leasehold_cache_entries": true,
		"vault_proxy_cache_hit": false, "edge_leasehold_cache_entries": false,
	} {
		if (types[name] != "") != want {
			t.Errorf("%s is there: %t, want %t", name, !want, want)
		}
	}
}

// Vault takes any prefix, and Prometheus text replaces what a name cannot have.
func TestPrefixMayBeNoName(t *testing.T) {
	for prefix, want := range map[string]string{"9lives": "_9lives", "a b-c": "a_b_c", "edge.eu/1": "edge_eu_1", strings.Repeat("long", 70): strings.Repeat("long", 70)} {
		samples, _ := scrape(t, metersOf(t, telemetry.Settings{Prefix: prefix}, sources()), "/proxy/v1/metrics")
		for _, name := range []string{"_proxy_cache_hit", "_agent_authenticated", "_runtime_num_goroutines"} {
			if samples[want+name] == "" {
				t.Errorf("%s: %s is not there", prefix, want+name)
			}
		}
	}
}

func TestTheHostCanBeALabel(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	samples, _ := scrape(t, metersOf(t, telemetry.Settings{HostLabel: true}, sources()), "/proxy/v1/metrics")
	for _, metric := range []string{`vault_proxy_cache_hit{host="` + name + `"}`, `leasehold_leases{host="` + name + `",state="due"}`} {
		if samples[metric] == "" {
			t.Errorf("%s is not there", metric)
		}
	}
}
