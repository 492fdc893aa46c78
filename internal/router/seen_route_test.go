package router_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/router"
)

func TestRouteOfARequest(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/auth/approle/login":                 router.RouteLogin,
		"/v1/auth/ldap/login/bob":                router.RouteLogin,
		"/v1/ns1/auth/my/kube/login":             router.RouteLogin,
		"/v1/auth/login/config":                  router.RouteOther, // a mount that is called login
		"/v1/auth/approle/role/app":              router.RouteOther,
		"/v1/auth/token/create":                  router.RouteToken,
		"/v1/auth/token/create/role":             router.RouteToken,
		"/v1/auth/token/lookup-self":             router.RouteLookup,
		"/v1/auth/token/lookup/hvs.AAAA":         router.RouteLookup,
		"/v1/ns1/ns2/auth/token/renew-self":      router.RouteRenew,
		"/v1/auth/token/revoke-accessor":         router.RouteRevoke,
		"/v1/sys/leases/lookup":                  router.RouteLookup,
		"/v1/sys/leases/renew":                   router.RouteRenew,
		"/v1/sys/renew/db/creds/app/1":           router.RouteRenew,
		"/v1/sys/leases/revoke-prefix/db/creds":  router.RouteRevoke,
		"/v1/sys/revoke":                         router.RouteRevoke,
		"/v1/sys/health":                         router.RouteSys,
		"/v1/ns1/sys/mounts":                     router.RouteSys,
		"/v1/db/creds/app":                       router.RouteLease,
		"/v1/ns1/my/aws/sts/deploy":              router.RouteLease,
		"/v1/pki/issue/web":                      router.RouteLease,
		"/v1/secret/data/app":                    router.RouteKV,
		"/v1/ns1/secret/metadata/":               router.RouteKV,
		"/v1/data/creds/app":                     router.RouteLease, // a mount that is called data
		"/v1/secret/data/auth/token/lookup-self": router.RouteKV,
		"/v1/secret/app":                         router.RouteOther,
		"/v1/":                                   router.RouteOther,
		"/v1":                                    router.RouteOther,
		"/":                                      router.RouteOther,
		"/proxy/v1/metrics":                      router.RouteOwn,
		"/agent/v1/nothing":                      router.RouteOwn,
	} {
		t.Run(path, func(t *testing.T) {
			if x := seen(t, router.Options{}, http.NotFoundHandler(), newRequest("GET", path, "")); x.Route != want {
				t.Errorf("route = %q, want %q", x.Route, want)
			}
		})
	}
}

// FuzzRouteOfARequest looks for a path that has no class of the list: each is a label of metrics.
func FuzzRouteOfARequest(f *testing.F) {
	for _, path := range []string{"/v1/auth/token/lookup", "/v1/a/data/b", "/v1//auth", "/proxy", "v1", "/v1/sys/leases/"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r := newRequest("GET", "/", "")
		r.URL.Path = path
		x := seen(t, router.Options{}, http.NotFoundHandler(), r)
		if !slices.Contains(router.Routes(), x.Route) {
			t.Errorf("route of %q = %q", path, x.Route)
		}
		if own := x.Route == router.RouteOwn; own && !strings.HasPrefix(path, "/proxy") && !strings.HasPrefix(path, "/agent") {
			t.Errorf("%q is taken for our own", path)
		}
	})
}
