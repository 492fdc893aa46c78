package kerberos_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"go.uber.org/goleak"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/kerberos"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ autoauth.Watcher = (*kerberos.Method)(nil)

// recorder answers every request with a token and keeps the last one.
type recorder struct {
	path, body    string
	authorization []string
}

func (v *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	v.path, v.body, v.authorization = r.Method+" "+r.URL.RequestURI(), string(body), r.Header.Values("Authorization")
	answer := `{"auth":{"client_token":"hvs.1"}}`
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

func newClient(t *testing.T, rt http.RoundTripper) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: "http://vault.example:8200", HttpClient: &http.Client{Transport: rt}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// opened is who the Authorization header says that we are, as Vault finds out with its key.
func (k *kdc) opened(t *testing.T, authorization []string) (user, authenticator string) {
	t.Helper()
	if len(authorization) != 1 {
		t.Fatalf("there are %d Authorization headers, want one", len(authorization))
	}
	encoded, ok := strings.CutPrefix(authorization[0], "Negotiate ")
	b, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		t.Fatalf("Authorization is %.20s... (%v), want Negotiate and base64", authorization[0], err)
	}
	var outer spnego.SPNEGOToken
	var inner spnego.KRB5Token
	if err := outer.Unmarshal(b); err != nil || !outer.Init {
		t.Fatalf("SPNEGO: %v", err)
	}
	if err := inner.Unmarshal(outer.NegTokenInit.MechTokenBytes); err != nil || !inner.IsAPReq() {
		t.Fatalf("Kerberos token: %v", err)
	}
	q := inner.APReq
	if err := q.Ticket.DecryptEncPart(k.servers, nil); err != nil {
		t.Fatal(err)
	}
	if err := q.DecryptAuthenticator(q.Ticket.DecryptedEncPart.Key); err != nil {
		t.Fatal(err)
	}
	if got := q.Ticket.SName.PrincipalNameString(); got != service {
		t.Errorf("the ticket is for %s, want %s", got, service)
	}
	return q.Ticket.DecryptedEncPart.CName.PrincipalNameString() + "@" + q.Ticket.DecryptedEncPart.CRealm,
		q.Authenticator.CName.PrincipalNameString() + "@" + q.Authenticator.CRealm
}

func TestLogin(t *testing.T) {
	both := []int32{aes256, aes128}
	for name, tc := range map[string]struct {
		username string
		kdc      []int32 // encryption types of the principal's keys at the KDC
		keytab   []int32
		opts     kerberos.Options
		lines    string // of krb5.conf
		path     string
	}{
		"plain":                         {"app", both, both, kerberos.Options{}, "", ""},
		"with an instance":              {"app/host", both, both, kerberos.Options{}, "", ""},
		"only the KDC's second choice":  {"app", both, both[1:], kerberos.Options{}, "", ""},
		"only the library's last guess": {"app", both, both[:1], kerberos.Options{}, "", ""},
		"limited by krb5.conf":          {"app", both, both, kerberos.Options{}, "default_tkt_enctypes = aes128-cts-hmac-sha1-96", ""},
		"without FAST":                  {"app", both, both, kerberos.Options{DisableFAST: true}, "", ""},
		"other mount":                   {"app", both, both, kerberos.Options{MountPath: "auth/corp/krb"}, "", "/v1/auth/corp/krb/login"},
	} {
		t.Run(name, func(t *testing.T) {
			k := startKDC(t, tc.username, tc.kdc...)
			kt, conf := files(t, newKeytab(t, tc.username, password, 3, tc.keytab...), k.address, tc.lines)
			m := kerberos.New(kerberos.Principal{Username: tc.username, Realm: realm, Keytab: kt}, service, conf, tc.opts)
			v := &recorder{}
			c := newClient(t, v)
			c.AddHeader("Authorization", "Negotiate stale") // AUT-3
			secret, err := m.Login(context.Background(), c)
			if err != nil || secret.Auth.ClientToken != "hvs.1" {
				t.Fatalf("Login = %v, %v", secret, err)
			}
			if path := "PUT " + cmp.Or(tc.path, "/v1/auth/kerberos/login"); v.path != path || v.body != "{}" {
				t.Errorf("sent %s %s, want %s {}", v.path, v.body, path)
			}
			want := tc.username + "@" + realm
			if user, authenticator := k.opened(t, v.authorization); user != want || authenticator != want {
				t.Errorf("logged in as %s (%s), want %s", user, authenticator, want)
			}
			if slices.Contains(k.fast, tc.opts.DisableFAST) {
				t.Errorf("FAST was offered: %v, although disabled: %t", k.fast, tc.opts.DisableFAST)
			}
		})
	}
}

// A ticket can be used once: Vault remembers those it has seen.
func TestEachLoginHasATicketOfItsOwn(t *testing.T) {
	k := startKDC(t, "app", aes256)
	kt, conf := files(t, newKeytab(t, "app", password, 3, aes256), k.address)
	m := kerberos.New(kerberos.Principal{Username: "app", Realm: realm, Keytab: kt}, service, conf, kerberos.Options{})
	v, seen := &recorder{}, map[string]bool{}
	for range 2 {
		if _, err := m.Login(context.Background(), newClient(t, v)); err != nil {
			t.Fatal(err)
		}
		k.opened(t, v.authorization)
		seen[v.authorization[0]] = true
	}
	if len(seen) != 2 {
		t.Error("the second login has sent the first one's ticket")
	}
}

func TestRemedy(t *testing.T) {
	m := kerberos.New(kerberos.Principal{Username: "app", Realm: realm, Keytab: "/etc/app.keytab"}, service, "/etc/krb5.conf", kerberos.Options{})
	for status, want := range map[int]string{
		401: "auth/kerberos is tuned with passthrough_request_headers=Authorization",
		400: "auth/kerberos/config/ldap",
		403: "mounted at auth/kerberos in this namespace",
		404: "mounted at auth/kerberos in this namespace",
	} {
		if got := m.Remedy(status); !strings.Contains(got, want) {
			t.Errorf("Remedy(%d) = %s", status, got)
		}
	}
}
