package upstream_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

func TestRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, 12)
		root := vault.NewToken(vaulttest.RootToken)
		b.get(t, "/v1/leaser/creds/app?ttl=60")
		id := vault.LeaseID(b.vault.Leases()[0])
		if err := b.RevokeLease(t.Context(), "ns1/", root, id); err != nil {
			t.Fatal(err)
		}
		log := b.vault.Requests()
		r := log[len(log)-1]
		if want := `{"lease_id":"` + string(id) + `","sync":true}`; r.Target != "/v1/sys/leases/revoke" || string(r.Body) != want || r.Header.Get("X-Vault-Namespace") != "ns1/" {
			t.Errorf("sent %s %s %s", r.Method, r.Target, r.Body)
		}
		if left := b.vault.Leases(); len(left) != 0 {
			t.Errorf("leases left at Vault: %v", left)
		}

		create, err := http.NewRequestWithContext(t.Context(), "POST", "http://h/v1/auth/token/create", strings.NewReader(`{"ttl":"90"}`))
		if err != nil {
			t.Fatal(err)
		}
		b.forward(create)
		token := vault.NewToken(b.vault.Tokens()[1])
		if err := b.RevokeSelf(t.Context(), "", token); err != nil {
			t.Fatal(err)
		}
		err = b.RevokeSelf(t.Context(), "", token)
		if !errors.Is(err, vault.ErrRefused) || strings.Contains(err.Error(), token.Reveal()) {
			t.Errorf("a second time = %v, want a refusal", err)
		}
	})
}

// What Vault says of a token that it does not know is told apart from other refusals.
func TestATokenThatIsGone(t *testing.T) {
	for text, want := range map[string]bool{
		`{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`: true,
		`{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`:                     false,
		`{"errors":["bad token"]}`: true,
		``:                         false,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newRig(t, 0)
			b.vault.Fail(vaulttest.On("", "/"), vaulttest.Answer(403, nil, text))
			_, err := b.RenewLease(t.Context(), "", vault.NewToken("hvs.x"), "a/b")
			if got := errors.Is(err, vault.ErrTokenGone); got != want || !errors.Is(err, vault.ErrRefused) {
				t.Errorf("%s: gone = %t (%v)", text, got, err)
			}
		})
	}
}
