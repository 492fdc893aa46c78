package cache_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"leasehold/internal/cache"
	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// meaning is all of a request that Vault may answer differently by.
type meaning struct {
	method    string
	namespace vault.Namespace
	path      string // raw
	query     url.Values
	body      string
	token     string
}

// FuzzKey sends two requests: when the second is answered from memory, they must mean the same to Vault.
func FuzzKey(f *testing.F) {
	add := func(first, second [6]string) {
		f.Add(first[0], first[1], first[2], first[3], first[4], first[5], second[0], second[1], second[2], second[3], second[4], second[5])
	}
	base := [6]string{"GET", "ns1", "db/creds/app", "a=1&b=2", "", "hvs.a"}
	add(base, base)
	add(base, [6]string{"GET", "ns1/", "db/creds/app", "b=2&a=1", "", "hvs.a"})
	add(base, [6]string{"GET", "", "db/creds/app", "a=1&b=2", "ns1", "hvs.a"})
	add(base, [6]string{"PUT", "n", "s1db/creds/app", "a=1&b=2", "", "hvs.a"})
	add([6]string{"GET", "", "x", "%61=1&a=2", "", ""}, [6]string{"GET", "", "x", "a=2&%61=1", "", ""})
	add([6]string{"GET", "", "x", "a=1;b=2&c", "", ""}, [6]string{"GET", "", "x", "c&a=1;b=2", "", ""})
	add([6]string{"POST", "", "x", "", "ab", "c"}, [6]string{"POST", "", "x", "", "a", "bc"})

	var serial atomic.Int64
	fix := newFixture(f, func(*http.Request) (*http.Response, error) {
		return reply(http.StatusOK, tokenBody(fmt.Sprintf("hvs.%d", serial.Add(1)), 3600)), nil
	}, cache.Options{})
	f.Fuzz(func(t *testing.T, m1, n1, p1, q1, b1, t1, m2, n2, p2, q2, b2, t2 string) {
		first, firstMeans, ok1 := fuzzed(m1, n1, p1, q1, b1, t1)
		second, secondMeans, ok2 := fuzzed(m2, n2, p2, q2, b2, t2)
		if !ok1 || !ok2 {
			t.Skip("not requests")
		}
		fix.index.Evict(lease.Eviction{Scope: lease.ScopeAll, Clear: true})
		w := httptest.NewRecorder()
		if err := fix.Answer(w, first, vault.Identity{Token: vault.NewToken(t1)}); err != nil {
			t.Fatal(err)
		}
		w = httptest.NewRecorder()
		if err := fix.Answer(w, second, vault.Identity{Token: vault.NewToken(t2)}); err != nil {
			t.Fatal(err)
		}
		hit := w.Header().Get("X-Cache") == "HIT"
		if hit && !reflect.DeepEqual(firstMeans, secondMeans) {
			t.Errorf("one entry for two requests:\n%+v\n%+v", firstMeans, secondMeans)
		}
		same := first.Method == second.Method && n1 == n2 && p1 == p2 && q1 == q2 && b1 == b2 && t1 == t2
		if same && !hit {
			t.Errorf("two entries for one request:\n%+v", firstMeans)
		}
	})
}

// fuzzed is a request as a server would receive it; ok is false for what is not one, or is not a login or a read.
func fuzzed(method, namespace, path, query, body, token string) (r *http.Request, m meaning, ok bool) {
	if method != http.MethodGet && method != http.MethodPost {
		method = http.MethodPut
	}
	target := "/v1/auth/x/" + path
	if query != "" {
		target += "?" + query
	}
	u, err := url.ParseRequestURI(target)
	if err != nil || strings.Contains(path, "?") || strings.ContainsAny(namespace, "\r\n\x00") {
		return nil, m, false
	}
	r = &http.Request{
		Method: method, URL: u, RequestURI: target, Header: http.Header{}, Host: "leasehold",
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
	if namespace != "" {
		r.Header.Set("X-Vault-Namespace", namespace)
	}
	return r, meaning{method, vault.CanonicalNamespace(namespace), u.EscapedPath(), u.Query(), body, token}, true
}
