package router_test

import (
	"net/http"
	"strings"
	"testing"

	"leasehold/internal/router"
)

const aToken = "hvs.CAESIJxxxxxxxxxxxxxxxxxxxxxx"

func TestLogPath(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/secret/data/app":                         "/v1/secret/data/app",
		"/v1/secret/metadata/":                        "/v1/secret/metadata/",
		"/v1/auth/token/lookup-self":                  "/v1/auth/token/lookup-self",
		"/v1/auth/token/lookup/word":                  "/v1/auth/token/lookup/[redacted]",
		"/v1/auth/token/lookup/word/and/more":         "/v1/auth/token/lookup/[redacted]/[redacted]/[redacted]",
		"/v1/ns1/auth/token/renew/word":               "/v1/ns1/auth/token/renew/[redacted]",
		"/v1/token/revoke/word":                       "/v1/token/revoke/[redacted]", // X-Vault-Namespace: auth
		"/v1//auth/.//token/x/../lookup/word":         "/v1/auth/token/lookup/[redacted]",
		"/v1/auth/token/lookup%2Fword":                "/v1/auth/token/lookup/[redacted]",
		"/v1/kv/" + aToken + "/x":                     "/v1/kv/[redacted]/x",
		"/v1/kv/s.short":                              "/v1/kv/s.short",
		"/v1/sys/leases/renew/db/creds/app/abc":       "/v1/sys/leases/renew/db/creds/app/[redacted]",
		"/v1/ns1/sys/leases/revoke/db/creds/app/abc":  "/v1/ns1/sys/leases/revoke/db/creds/app/[redacted]",
		"/v1/sys/renew/auth/approle/login/h123":       "/v1/sys/renew/auth/approle/login/[redacted]",
		"/v1/sys/leases/renew":                        "/v1/sys/leases/renew",
		"/v1/sys/leases/renew/":                       "/v1/sys/leases/renew/",
		"/v1/sys/leases/revoke/db/creds/app/abc/":     "/v1/sys/leases/revoke/db/creds/app/[redacted]/",
		"/v1/sys/leases/revoke/db/creds/app/abc%2F/":  "/v1/sys/leases/revoke/db/creds/app/[redacted]/",
		"/v1/ns1/sys/renew/db/creds/app/abc//":        "/v1/ns1/sys/renew/db/creds/app/[redacted]/",
		"/v1/sys/leases/lookup/db/creds/app/abc/":     "/v1/sys/leases/lookup/db/creds/app/[redacted]/",
		"/v1/sys/leases/lookup/db/creds/app/":         "/v1/sys/leases/lookup/db/creds/[redacted]/", // a list
		"/v1/sys/leases/revoke/db/sys/revoked1":       "/v1/sys/leases/revoke/db/sys/[redacted]",
		"/v1/sys/leases/revoke-prefix/db/creds":       "/v1/sys/leases/revoke-prefix/db/creds",
		"/v1/secret/data/" + strings.Repeat("a", 300): "/v1/secret/data/" + strings.Repeat("a", 184) + "...",
	} {
		t.Run(path, func(t *testing.T) {
			r := newRequest("GET", "/", "")
			r.URL.Path = path
			if got := (&router.Exchange{Request: r}).LogPath(); got != want {
				t.Errorf("shown as %q, want %q", got, want)
			}
		})
	}
}

// FuzzLogPath looks for a way to have a token shown, or one that Vault would take for it, or a lease id.
func FuzzLogPath(f *testing.F) {
	for _, before := range []string{"/v1/auth/token/lookup/", "/v1//auth//token//renew//", "/v1/ns/auth/token/revoke-orphan/", "/v1/x/", "/", "/v1/auth/token/%2e%2e/token/lookup/", "/v1/%"} {
		f.Add(before, "/")
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		r := newRequest("GET", "/", "")
		r.URL.Path = before + "/" + aToken + "/" + after
		if got := (&router.Exchange{Request: r}).LogPath(); strings.Contains(got, aToken) {
			t.Errorf("%q is shown as %q", r.URL.Path, got)
		}
		r.URL.Path = "/v1/auth/token/lookup/UNPREFIXED"
		if !strings.ContainsAny(before, "./%") {
			r.URL.Path = "/v1/" + before + "/auth/token/" + before + "x/UNPREFIXED/" + after
		}
		if got := (&router.Exchange{Request: r}).LogPath(); strings.Contains(got, "UNPREFIXED") {
			t.Errorf("%q is shown as %q", r.URL.Path, got)
		}
		r.URL.Path = "/v1/sys/leases/revoke/LEASEID/"
		if !strings.ContainsAny(before, "./%") {
			r.URL.Path = "/v1/" + before + "/sys/leases/renew/" + before + "x/LEASEID" + strings.Repeat("/", len(after)%3)
		}
		if got := (&router.Exchange{Request: r}).LogPath(); strings.Contains(got, "LEASEID") {
			t.Errorf("%q is shown as %q", r.URL.Path, got)
		}
	})
}

func TestPaths(t *testing.T) {
	set := router.NewPaths([]string{"sys/health", "ns1/secret/*", "kv/+/app", "/proxy/v1/metrics"}, "")
	for name, tc := range map[string]struct {
		target, namespace string
		want              bool
	}{
		"exact":                   {"/v1/sys/health?standbyok=true", "", true},
		"below":                   {"/v1/sys/health/x", "", false},
		"in another namespace":    {"/v1/sys/health", "ns2", false},
		"namespace in the header": {"/v1/secret/data/app", "ns1/", true},
		"namespace in the path":   {"/v1/ns1/secret/data/app", "", true},
		"no namespace":            {"/v1/secret/data/app", "", false},
		"one segment":             {"/v1/kv/data/app", "", true},
		"two segments":            {"/v1/kv/data/x/app", "", false},
		"own":                     {"/proxy/v1/metrics", "", true},
		"own, by its other name":  {"/agent/v1/metrics", "", true},
		"Vault's of that name":    {"/v1/metrics", "", false},
		"not canonical":           {"/v1/sys//health", "", false},
		"encoded":                 {"/v1/sys%2fhealth", "", false},
		"strange namespace":       {"/v1/secret/data/app", "ns1//x", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest(http.MethodGet, tc.target, "")
			if tc.namespace != "" {
				r.Header.Set("X-Vault-Namespace", tc.namespace)
			}
			if got := set.Has(r); got != tc.want {
				t.Errorf("in the set: %t, want %t", got, tc.want)
			}
		})
	}
	if r := newRequest(http.MethodGet, "/v1/secret/x", ""); (router.Paths{}).Has(r) || !router.NewPaths([]string{"ns1/secret/*"}, "ns1/").Has(r) {
		t.Error("the empty set has something, or a prepended namespace does not count")
	}
}
