package config_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"leasehold/internal/config"
)

func TestCacheDefaults(t *testing.T) {
	c := mustParse(t, "cache {}\n"+tcp).Cache
	if c.RenewAt != 0.67 || c.RenewRate != 500 || c.ReplaceBefore != 0.1 || c.MaxSize != 512<<20 || c.MaxEntries != 0 || c.MinTokenTTL != 0 ||
		c.RefreshAhead || c.CacheNonRenewable || c.RevokeOnExit || len(c.Rules) != 0 {
		t.Errorf("cache = %+v", c)
	}
}

func TestCacheKeys(t *testing.T) {
	c := mustParse(t, `cache {
  renew_at            = "50%"
  renew_rate          = -1
  replace_before      = 0
  refresh_ahead       = true
  cache_non_renewable = "true"
  min_token_ttl       = "5m"
  revoke_on_exit      = true
  max_size            = -1
  max_entries         = 1000
}
`+tcp).Cache
	want := config.Cache{
		Pos: c.Pos, ReportRemainingTTL: true, MaxEntrySize: 1 << 20, RenewAt: 0.5, RefreshAhead: true, CacheNonRenewable: true,
		MinTokenTTL: 5 * time.Minute, RevokeOnExit: true, MaxSize: -1, MaxEntries: 1000,
	}
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("cache = %+v, want %+v", *c, want)
	}
}

// What a rule leaves open is the stanza's, in HCL and in JSON.
func TestRules(t *testing.T) {
	for name, src := range map[string]string{
		"HCL": `cache {
  refresh_ahead  = true
  replace_before = 0.2
  rule "/v1/database/creds/*" { cache_non_renewable = true }
  rule "aws/+/ro" {
    refresh_ahead  = false
    replace_before = "50%"
  }
  rule { path = "pki/*", cache = false }
}
` + tcp,
		"JSON": `{"cache": {"refresh_ahead": true, "replace_before": 0.2, "rule": [{"/v1/database/creds/*": {"cache_non_renewable": true}},
  {"aws/+/ro": {"refresh_ahead": false, "replace_before": "50%"}}, {"path": "pki/*", "cache": false}]},
  "listener": {"tcp": {"tls_disable": true}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			rules := mustParse(t, src).Cache.Rules
			for i := range rules {
				rules[i].Pos = config.Pos{}
			}
			want := []config.Rule{
				{Path: "database/creds/*", Cache: true, CacheNonRenewable: true, RefreshAhead: true, ReplaceBefore: 0.2},
				{Path: "aws/+/ro", Cache: true, ReplaceBefore: 0.5},
				{Path: "pki/*", RefreshAhead: true, ReplaceBefore: 0.2},
			}
			if !slices.Equal(rules, want) {
				t.Errorf("rules = %+v\nwant    %+v", rules, want)
			}
		})
	}
}

func TestIdleRules(t *testing.T) {
	cfg := mustParse(t, "cache {\n  rule \"a/*\" {}\n  rule \"a/*\" {}\n  rule \"b\" {\n    cache = false\n    refresh_ahead = true\n  }\n}\n"+tcp)
	var lines []int
	for _, w := range cfg.Warnings {
		lines = append(lines, w.Pos.Line)
	}
	if !slices.Equal(lines, []int{3, 6}) {
		t.Errorf("warnings = %v", cfg.Warnings)
	}
}
