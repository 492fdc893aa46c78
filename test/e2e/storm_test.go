package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/test/e2e/realvault"
)

// The auto-auth token of 5,000 leases is revoked behind our back. Vault Proxy would renew each of them in vain, again and again
// (hashicorp/vault#25712).
func TestStorm(t *testing.T) {
	const leases, clients = 5000, 8
	var refused atomic.Int64
	v, err := startVault(realvault.Options{Wrap: func(core http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			core.ServeHTTP(&watched{ResponseWriter: w, refused: &refused}, r)
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	remember(v.RootToken)
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	p := startWith(t, v, cacheStanza)
	read := func(i int) answer {
		a, err := send(t.Context(), "GET", fmt.Sprintf("%s/v1/leaser/creds/storm%d?ttl=40&max_ttl=3600", p.URLs[0], i), "")
		if err != nil || a.Status != http.StatusOK {
			t.Errorf("read = %d %s, %v", a.Status, a.Body, err)
		}
		return a
	}
	var filling sync.WaitGroup
	for c := range clients {
		filling.Go(func() {
			for i := c; i < leases && !t.Failed(); i += clients {
				read(i)
			}
		})
	}
	filling.Wait()
	threads := p.threads(t)
	if n := refused.Load(); n != 0 {
		t.Fatalf("%d refused before anything happened", n)
	}
	s, err := api.ParseSecret(strings.NewReader(string(read(0).Body)))
	if err != nil {
		t.Fatal(err)
	}
	// The lease tells its token only to Vault: all tokens but root's go.
	list, err := v.Client().Logical().List("auth/token/accessors")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list.Data["keys"].([]any) {
		if got, err := v.Client().Auth().Token().LookupAccessor(a.(string)); err == nil && got.Data["path"] != "auth/token/root" {
			if err := v.Client().Auth().Token().RevokeAccessor(a.(string)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Clients go on meanwhile, with what is cached and with what is not.
	var asking sync.WaitGroup
	stop := make(chan struct{})
	for c := range clients {
		asking.Go(func() {
			for i := c; ; i = (i + clients) % (2 * leases) {
				read(i)
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	p.waitLog(t, "logged in to Vault")
	eventually(t, "the old leases have left", func() bool {
		a := read(0)
		now, err := api.ParseSecret(strings.NewReader(string(a.Body)))
		return err == nil && now.LeaseID != s.LeaseID
	})
	close(stop)
	asking.Wait()
	if n := refused.Load(); n == 0 || n > 16+clients+4 {
		t.Errorf("Vault refused %d requests, want a handful", n)
	}
	t.Logf("%d requests refused at Vault; %d threads before, %d after", refused.Load(), threads, p.threads(t))
	if now := p.threads(t); now > threads+20 {
		t.Errorf("%d threads, %d before", now, threads)
	}
	if n := strings.Count(p.log.String(), "logged in to Vault"); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

type watched struct {
	http.ResponseWriter
	refused *atomic.Int64
}

func (w *watched) WriteHeader(status int) {
	if status == http.StatusForbidden {
		w.refused.Add(1)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// threads counts the process's threads.
func (p *proxy) threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(p.cmd.Process.Pid), "task"))
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

// A token whose life is nearly over, for good, is not used to create anything: there is another login first.
func TestNothingIsCreatedUnderAnEndingToken(t *testing.T) {
	t.Parallel()
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	if _, err := shared.Client().Logical().Write("auth/approle/role/"+r.Name, map[string]any{"token_ttl": "8s", "token_max_ttl": "8s"}); err != nil {
		t.Fatal(err)
	}
	p := startProxy(t, vaultStanza(shared.Address)+r.autoAuth()+injectToken+"cache { min_token_ttl = \"4s\" }\n"+listenerStanza())
	for i := range 60 {
		a := p.do(t, "GET", fmt.Sprintf("/v1/leaser/creds/ending%d?ttl=600", i), "")
		if a.Status != http.StatusOK {
			t.Fatalf("answer = %d %s", a.Status, a.Body)
		}
		self := p.do(t, "GET", "/v1/auth/token/lookup-self", "").secret(t)
		if ttl, err := self.TokenTTL(); err != nil || ttl.Seconds() < 3 { // it may have aged a little since
			t.Fatalf("the token that has just been used has %v left, %v", ttl, err)
		}
		<-time.After(200 * time.Millisecond) // its life has to pass
	}
	if n := strings.Count(p.log.String(), "logged in to Vault"); n < 3 || n > 8 {
		t.Errorf("%d logins in 12 s with tokens of 8 s", n)
	}
}
