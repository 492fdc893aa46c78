package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"leasehold/test/e2e/realvault"
)

// nodes starts Vaults that tell in a header which of them has answered.
func nodes(t *testing.T, names ...string) (all []*realvault.Server, addresses string) {
	var quoted []string
	for _, name := range names {
		v, err := startVault(realvault.Options{Wrap: func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Node", name)
				h.ServeHTTP(w, r)
			})
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := v.Close(); err != nil {
				t.Error(err)
			}
		})
		all = append(all, v)
		quoted = append(quoted, fmt.Sprintf("%q", v.Address))
	}
	return all, strings.Join(quoted, ", ")
}

// One Vault after the other goes away, is sealed, and comes back; clients notice nothing as long as one can answer, and wait for nothing when none can.
func TestFailover(t *testing.T) {
	t.Parallel()
	v, addresses := nodes(t, "a", "b")
	p := startProxy(t, fmt.Sprintf(`
vault {
  addresses             = [%s]
  health_check_interval = "1s"
}
listener "tcp" {
  address     = "127.0.0.1:0"
  tls_disable = true
}`, addresses))
	node := func() string {
		a := p.do(t, "GET", "/v1/sys/mounts", "", "X-Vault-Token: not-a-token") // may be sent again when a connection breaks under it
		if a.Status != http.StatusForbidden && a.Status != http.StatusServiceUnavailable {
			t.Errorf("answer %d %s", a.Status, a.Body)
		}
		return a.Header.Get("X-Node")
	}
	want := func(when, want string) {
		t.Helper()
		if got := node(); got != want {
			t.Errorf("%s: %q answers, want %q", when, got, want)
		}
	}
	returns := func(when, want string) {
		t.Helper()
		eventually(t, when+", "+want+" answers", func() bool { return node() == want })
	}
	want("both well", "a")
	if err := v[0].Interrupt(); err != nil {
		t.Fatal(err)
	}
	want("a is gone", "b")
	if err := v[0].Resume(); err != nil {
		t.Fatal(err)
	}
	returns("a is back", "a")
	if err := v[0].Seal(); err != nil {
		t.Fatal(err)
	}
	want("a is sealed", "b")
	if err := v[1].Interrupt(); err != nil {
		t.Fatal(err)
	}
	want("b is gone", "a") // whose answer is that it is sealed
	if err := v[0].Unseal(); err != nil {
		t.Fatal(err)
	}
	returns("a is unsealed", "a")
	if err := v[0].Interrupt(); err != nil {
		t.Fatal(err)
	}
	p.do(t, "PUT", "/v1/auth/token/create", `{}`) // takes the seconds of its retries
	p.waitLog(t, "requests are refused until it can")
	for range 100 {
		a := p.do(t, "PUT", "/v1/auth/token/create", `{}`)
		if a.Status != http.StatusServiceUnavailable || !contains(a.Body, v[0].Address+", "+v[1].Address+" cannot be reached; check that it runs") {
			t.Fatalf("all gone: %d %s", a.Status, a.Body)
		}
	}
	if err := v[1].Resume(); err != nil {
		t.Fatal(err)
	}
	p.waitLog(t, "can be reached again")
	returns("b is back", "b")
}
