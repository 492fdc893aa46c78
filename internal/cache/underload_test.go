package cache_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"leasehold/internal/cache"
	"leasehold/internal/vault"
)

// Whatever is asked side by side: no request that begins after Vault has accepted a revocation is answered with what it revoked.
func TestNoHitAfterARevocation(t *testing.T) {
	const readers, rounds, path = 6, 300, "/v1/db/creds/app"
	f := newFixture(t, leases(), cache.Options{})
	var current atomic.Pointer[vault.Identity]
	var accepted atomic.Int64
	var revoked sync.Map // lease id → the number of its revocation
	var hits atomic.Int64
	stop := make(chan struct{})
	ask := func(id vault.Identity) (lease string) {
		before := accepted.Load()
		w := httptest.NewRecorder()
		if err := f.Answer(w, newRequest(t.Context(), http.MethodGet, path, ""), id); err != nil {
			t.Errorf("read: %v", err)
		}
		lease = read(t, w).LeaseID
		if w.Header().Get("X-Cache") == "HIT" {
			hits.Add(1)
		}
		if n, ok := revoked.Load(lease); ok && n.(int64) <= before {
			t.Errorf("%s was revoked before it was answered: %s", lease, w.Header().Get("X-Cache"))
		}
		return lease
	}
	login := func() vault.Identity {
		w := f.do(noToken, http.MethodPost, "/v1/auth/approle/login", fmt.Sprintf(`{"n":%d}`, accepted.Load()))
		id := vault.Identity{Token: vault.NewToken(read(t, w).Auth.ClientToken)}
		current.Store(&id)
		return id
	}
	id := login()
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					ask(*current.Load())
				}
			}
		})
	}
	for i := range int64(rounds) {
		lease := ask(id)
		token := id.Token.Reveal()
		var w *httptest.ResponseRecorder
		switch i % 5 {
		case 0:
			w = f.do(id, http.MethodPut, "/v1/sys/leases/revoke", fmt.Sprintf(`{"lease_id":%q}`, lease))
		case 1:
			w = f.do(id, http.MethodPut, "/v1/sys/leases/revoke-prefix/db/creds", "")
		case 2:
			w = f.do(other, http.MethodPost, "/v1/auth/token/revoke", fmt.Sprintf(`{"token":%q}`, token))
		case 3:
			w = f.do(other, http.MethodPost, "/v1/auth/token/revoke-accessor", fmt.Sprintf(`{"accessor":"accessor.%s"}`, token))
		default:
			w = f.do(id, http.MethodPost, "/v1/auth/token/revoke-self", "")
		}
		if w.Code != http.StatusNoContent {
			t.Fatalf("revocation = %d", w.Code)
		}
		revoked.Store(lease, i+1)
		accepted.Store(i + 1)
		if i%5 > 1 {
			id = login()
		}
	}
	close(stop)
	all.Wait()
	if hits.Load() == 0 {
		t.Error("no hit at all: nothing was shown")
	}
}
