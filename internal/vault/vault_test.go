package vault_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"leasehold/internal/vault"
)

const secret = "hvs.CAESIJ-not-to-be-seen"

func TestTokenCannotPrintItself(t *testing.T) {
	token := vault.NewToken(secret)
	type outer struct {
		Public  vault.Token
		private vault.Token
		behind  *vault.Token
		list    []vault.Token
	}
	o := outer{token, token, &token, []vault.Token{token}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p"} {
		for _, v := range []any{token, &token, o, &o, []any{token}, map[string]vault.Token{"k": token}, vault.Identity{Token: token}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("m", "token", token, "outer", o, "list", []vault.Token{token}, "identity", vault.Identity{Token: token})
	}
	if err := json.NewEncoder(&out).Encode(o); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the token shows as %.12s…", form)
		}
	}
	if !strings.Contains(fmt.Sprint(token), "[redacted]") {
		t.Errorf("a token prints as %v", token)
	}
}

func TestToken(t *testing.T) {
	for name, c := range map[string]struct {
		text      string
		zero      bool
		printable bool
	}{
		"none":         {"", true, true},
		"a service's":  {secret, false, true},
		"with a space": {"a b", false, true},
		"a line break": {"a\n", false, false},
		"not ASCII":    {"ä", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			token := vault.NewToken(c.text)
			if token.IsZero() != c.zero || token.Printable() != c.printable || token.Reveal() != c.text {
				t.Errorf("zero %v, printable %v, text %q", token.IsZero(), token.Printable(), token.Reveal())
			}
			if !token.Equal(vault.NewToken(c.text)) || token.Equal(vault.NewToken(c.text+"x")) {
				t.Error("Equal is wrong")
			}
			if token.ID() != vault.NewToken(c.text).ID() || token.ID() == vault.NewToken(c.text+"x").ID() {
				t.Error("ID is wrong")
			}
		})
	}
	if (vault.Token{}).Reveal() != "" || !(vault.Token{}).IsZero() || !(vault.Token{}).Equal(vault.NewToken("")) {
		t.Error("the zero Token is not the empty one")
	}
}

func TestCanonicalNamespace(t *testing.T) {
	for text, want := range map[string]vault.Namespace{
		"": "", "/": "", "root": "", "root/": "", " ns1 ": "ns1/", "ns1": "ns1/", "/ns1/": "ns1/", "ns1/ns2": "ns1/ns2/", "//ns1//": "ns1/",
	} {
		if got := vault.CanonicalNamespace(text); got != want {
			t.Errorf("%q = %q, want %q", text, got, want)
		}
	}
}

func TestNamespaceContains(t *testing.T) {
	for _, c := range []struct {
		outer, inner vault.Namespace
		want         bool
	}{{"", "ns1/", true}, {"ns1/", "ns1/", true}, {"ns1/", "ns1/ns2/", true}, {"ns1/", "ns10/", false}, {"ns1/", "", false}} {
		if got := c.outer.Contains(c.inner); got != c.want {
			t.Errorf("%q contains %q = %v", c.outer, c.inner, got)
		}
	}
}

func TestLeaseIDPath(t *testing.T) {
	for id, want := range map[vault.LeaseID]string{
		"aws/creds/role/1234": "aws/creds/role", "aws/creds/role/1234.nsid": "aws/creds/role", "1234": "", "": "",
	} {
		if got := id.Path(); got != want {
			t.Errorf("%q = %q, want %q", id, got, want)
		}
	}
}
