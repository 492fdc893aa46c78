package e2e

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/test/e2e/realvault"
)

// count is AuditCount of the shared Vault.
func count(t *testing.T, match func(realvault.Entry) bool) int {
	t.Helper()
	n, err := shared.AuditCount(match)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRealVaultRenewsALeaseUntilItsMaxTTL(t *testing.T) {
	t.Parallel()
	const path = "leaser/creds/capped"
	c := shared.Client()
	s, err := c.Logical().ReadWithData(path, map[string][]string{"ttl": {"3"}, "max_ttl": {"6"}})
	if err != nil {
		t.Fatal(err)
	}
	if s.LeaseDuration != 3 || !s.Renewable || s.LeaseID == "" {
		t.Fatalf("lease = %q of %d s, renewable %v; want one of 3 s, renewable", s.LeaseID, s.LeaseDuration, s.Renewable)
	}
	if n := shared.Issued("capped"); n != 1 {
		t.Errorf("leases issued = %d, want 1", n)
	}
	renewed, err := c.Sys().Renew(s.LeaseID, 1)
	if err != nil || renewed.LeaseDuration != 1 {
		t.Fatalf("renewal by 1 s = %+v, %v; want 1 s", renewed, err)
	}
	if renewed, err = c.Sys().Renew(s.LeaseID, 0); err != nil || renewed.LeaseDuration != 3 {
		t.Fatalf("renewal without increment = %+v, %v; want the first TTL again", renewed, err)
	}
	asked := 2
	eventually(t, "the max TTL cuts a renewal short", func() bool {
		asked++
		renewed, err := c.Sys().Renew(s.LeaseID, 0)
		return err == nil && renewed.LeaseDuration < 3
	})
	eventually(t, "the lease is gone at Vault", func() bool {
		_, err := c.Sys().Lookup(s.LeaseID)
		return err != nil
	})
	if n := count(t, func(e realvault.Entry) bool { return e.Renews(s.LeaseID) }); n != asked {
		t.Errorf("renewals in the audit log = %d, want %d", n, asked)
	}
}

func TestRealVaultAuditTellsWhoAskedForWhat(t *testing.T) {
	t.Parallel()
	token := newToken(t, shared, newPolicy(t, shared, "kv/audited: read"))
	for range 2 {
		if _, err := send(t.Context(), "GET", shared.Address+"/v1/kv/audited", "", "X-Vault-Token: "+token.ClientToken); err != nil {
			t.Fatal(err)
		}
	}
	mine := func(e realvault.Entry) bool {
		return e.Request.Path == "kv/audited" && e.Request.Operation == "read" && e.Request.ClientTokenAccessor == token.Accessor
	}
	if n := count(t, mine); n != 2 {
		t.Errorf("requests in the audit log = %d, want 2", n)
	}
}

// ownVault is a Vault that a test may harm, with one secret in it.
func ownVault(t *testing.T, o realvault.Options) *realvault.Server {
	t.Helper()
	v, err := startVault(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	remember(v.RootToken, v.UnsealKey)
	if _, err := v.Client().Logical().Write("kv/kept", map[string]any{"word": "still here"}); err != nil {
		t.Fatal(err)
	}
	return v
}

// readKept reads the secret of ownVault and returns Vault's status; 0 means that there was no answer at all.
func readKept(t *testing.T, v *realvault.Server) int {
	t.Helper()
	s, err := v.Client().Logical().Read("kv/kept")
	if refused, ok := errors.AsType[*api.ResponseError](err); ok {
		return refused.StatusCode
	}
	if err != nil {
		return 0
	}
	if s == nil || s.Data["word"] != "still here" {
		t.Errorf("kv/kept = %+v, want what was written before the outage", s)
	}
	return http.StatusOK
}

func TestRealVaultComesBackAfterASeal(t *testing.T) {
	t.Parallel()
	v := ownVault(t, realvault.Options{})
	if err := v.Seal(); err != nil {
		t.Fatal(err)
	}
	if got := readKept(t, v); got != http.StatusServiceUnavailable {
		t.Errorf("status while sealed = %d, want 503", got)
	}
	if err := v.Unseal(); err != nil {
		t.Fatal(err)
	}
	if got := readKept(t, v); got != http.StatusOK {
		t.Errorf("status after unsealing = %d, want 200", got)
	}
}

func TestRealVaultComesBackOnTheSamePort(t *testing.T) {
	t.Parallel()
	v := ownVault(t, realvault.Options{})
	if err := v.Interrupt(); err != nil {
		t.Fatal(err)
	}
	if got := readKept(t, v); got != 0 {
		t.Errorf("status while interrupted = %d, want no answer", got)
	}
	if err := v.Resume(); err != nil {
		t.Fatal(err)
	}
	if got := readKept(t, v); got != http.StatusOK {
		t.Errorf("status after resuming = %d, want 200", got)
	}
}

func TestRealVaultWithFaults(t *testing.T) {
	t.Parallel()
	var faulty atomic.Bool
	v := ownVault(t, realvault.Options{Wrap: func(real http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if faulty.Load() {
				http.Error(w, "out of order", http.StatusBadGateway)
				return
			}
			real.ServeHTTP(w, r)
		})
	}})
	faulty.Store(true)
	if got := readKept(t, v); got != http.StatusBadGateway {
		t.Errorf("status with the fault = %d, want 502", got)
	}
	faulty.Store(false)
	if got := readKept(t, v); got != http.StatusOK {
		t.Errorf("status without the fault = %d, want 200", got)
	}
}

func TestRealVaultMakesDatabaseUsers(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t)
	role := newDatabaseRole(t, pg, time.Minute)
	s, err := shared.Client().Logical().Read("database/creds/" + role)
	if err != nil {
		t.Fatal(err)
	}
	user, password := s.Data["username"].(string), s.Data["password"].(string)
	if err := pg.logIn(t.Context(), user, password); err != nil {
		t.Errorf("login with the lease: %v", err)
	}
	if err := pg.logIn(t.Context(), user, password+"x"); err == nil {
		t.Error("PostgreSQL accepts a wrong password: revocation could not be seen")
	}
	if err := shared.Client().Sys().Revoke(s.LeaseID); err != nil {
		t.Fatal(err)
	}
	if err := pg.logIn(t.Context(), user, password); err == nil {
		t.Error("login still works after the lease was revoked")
	}
}
