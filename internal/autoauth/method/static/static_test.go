package static_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/method/static"
	"leasehold/internal/vault"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTheTokenIsLookedUp(t *testing.T) {
	var asked string
	rt := roundTrip(func(r *http.Request) (*http.Response, error) {
		asked = r.Method + " " + r.URL.Path + " " + r.Header.Get("X-Vault-Token")
		answer := `{"data":{"id":"hvs.1","ttl":0}}`
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
	})
	c, err := api.NewClient(&api.Config{Address: "http://vault.example:8200", HttpClient: &http.Client{Transport: rt}})
	if err != nil {
		t.Fatal(err)
	}
	m := static.New(vault.NewToken("hvs.1"))
	secret, err := m.Login(context.Background(), c)
	if err != nil || secret.Data["id"] != "hvs.1" {
		t.Errorf("Login = %v, %v", secret, err)
	}
	if asked != "GET /v1/auth/token/lookup-self hvs.1" {
		t.Errorf("asked %s", asked)
	}
	if !strings.Contains(m.Remedy(403), "VAULT_TOKEN") {
		t.Error(m.Remedy(403))
	}
}
