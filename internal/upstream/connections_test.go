package upstream_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/upstream"
)

// Each subsystem has a transport of its own (CFG-8): what is said of one counts connections of one, over HTTP/1.1 and over HTTP/2.
func TestConnectionsOfEachSubsystem(t *testing.T) {
	idle, close := upstream.Connections{DisableIdle: true}, upstream.Connections{DisableKeepAlives: true}
	for name, tc := range map[string]struct {
		proxying, autoAuth upstream.Connections
		proxied, logins    int
	}{
		"kept":                       {upstream.Connections{}, upstream.Connections{}, 1, 1},
		"no idle ones of proxying":   {idle, upstream.Connections{}, 3, 1},
		"no idle ones of auto-auth":  {upstream.Connections{}, idle, 1, 3},
		"no keep-alive of proxying":  {close, upstream.Connections{}, 3, 1},
		"no keep-alive of auto-auth": {upstream.Connections{}, close, 1, 3},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", HTTP/2"}[secure], func(t *testing.T) {
				remotes := remotes{}
				s := upstream.Settings{Proxying: tc.proxying, AutoAuth: tc.autoAuth}
				if secure {
					v := newTLSVault(t)
					v.Config.Handler, s.Address, s.CACert = &remotes, v.URL, v.ca
				} else {
					s.Address = serve(t, remotes.ServeHTTP).URL
				}
				c := newClient(t, s)
				logins, err := c.API()
				if err != nil {
					t.Fatal(err)
				}
				for range 3 {
					if _, err := ask(t, c); err != nil {
						t.Fatal(err)
					}
				}
				if got := remotes.count(); got != tc.proxied {
					t.Errorf("three proxied requests took %d connections, want %d", got, tc.proxied)
				}
				login(t, logins, 3)
				if got := remotes.count() - tc.proxied; got != tc.logins {
					t.Errorf("three logins took %d connections, want %d", got, tc.logins)
				}
			})
		}
	}
}

func login(t *testing.T, c *api.Client, times int) {
	t.Helper()
	for range times {
		if _, err := c.Logical().WriteWithContext(t.Context(), "auth/approle/login", nil); err != nil {
			t.Fatal(err)
		}
	}
}

// remotes counts the connections that requests come over.
type remotes struct {
	mu  sync.Mutex
	all map[string]bool
}

func (r *remotes) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[string]bool{}
	}
	r.all[req.RemoteAddr] = true
	w.WriteHeader(http.StatusNoContent)
}

func (r *remotes) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}
