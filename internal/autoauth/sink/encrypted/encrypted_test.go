package encrypted_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"leasehold/internal/autoauth/sink/encrypted"
	"leasehold/internal/vault"
)

// memory is an inner sink.
type memory struct {
	stored [][]byte
	err    error
}

func (m *memory) Name() string { return "file /run/token" }

func (m *memory) Store(_ context.Context, content []byte) error {
	m.stored = append(m.stored, content)
	return m.err
}

func newKey(t *testing.T) *ecdh.PrivateKey {
	t.Helper()
	k, err := encrypted.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// client is the other side: a key pair, its public half in a file as Vault's clients write it.
type client struct {
	key  *ecdh.PrivateKey
	path string
}

func newClient(t *testing.T) client {
	t.Helper()
	c := client{newKey(t), filepath.Join(t.TempDir(), "public.json")}
	c.publish(t)
	return c
}

func (c client) publish(t *testing.T) {
	t.Helper()
	write(t, c.path, `{"curve25519_public_key":"`+base64.StdEncoding.EncodeToString(c.key.PublicKey().Bytes())+`"}`)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// decrypt follows the description of Vault's envelopes step by step, with HKDF spelt out (RFC 5869).
func (c client) decrypt(t *testing.T, content []byte, derive bool, aad string) string {
	t.Helper()
	var e map[string][]byte
	if err := json.Unmarshal(content, &e); err != nil {
		t.Fatal(err)
	}
	theirs, err := ecdh.X25519().NewPublicKey(e["curve25519_public_key"])
	if err != nil {
		t.Fatal(err)
	}
	key, err := c.key.ECDH(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if derive {
		smaller, larger := c.key.PublicKey().Bytes(), theirs.Bytes()
		if bytes.Compare(smaller, larger) > 0 {
			smaller, larger = larger, smaller
		}
		mac := func(key, message []byte) []byte {
			h := hmac.New(sha256.New, key)
			h.Write(message)
			return h.Sum(nil)
		}
		key = mac(mac(smaller, key), append(bytes.Clone(larger), 1))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := aead.Open(nil, e["nonce"], e["encrypted_payload"], []byte(aad))
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// oneLine is the envelope's form, byte for byte.
var oneLine = regexp.MustCompile(`^\{"curve25519_public_key":"[A-Za-z0-9+/]{43}=","nonce":"[A-Za-z0-9+/]{16}","encrypted_payload":"[A-Za-z0-9+/]+=*"\}\n$`)

func TestClientsReadWhatTheSinkStores(t *testing.T) {
	own := newKey(t)
	for name, o := range map[string]encrypted.Options{
		"shared secret":              {},
		"shared secret, with AAD":    {AAD: []byte("my context")},
		"derived key":                {DeriveKey: true},
		"derived key, with an AAD":   {DeriveKey: true, AAD: []byte("my context")},
		"derived key, another order": {DeriveKey: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t)
			less := func() bool { return bytes.Compare(c.key.PublicKey().Bytes(), own.PublicKey().Bytes()) < 0 }
			for less() != strings.HasSuffix(name, "order") {
				c = newClient(t)
			}
			inner := &memory{}
			s := encrypted.New(inner, own, c.path, o)
			for _, token := range []string{"hvs.one", "hvs.one", "{\"token\":\"hvs.two\"}\n"} {
				if err := s.Write(t.Context(), vault.NewToken(token)); err != nil {
					t.Fatal(err)
				}
				got := inner.stored[len(inner.stored)-1]
				if !oneLine.Match(got) || bytes.Contains(got, []byte("hvs.")) {
					t.Errorf("envelope = %s", got)
				}
				if plain := c.decrypt(t, got, o.DeriveKey, string(o.AAD)); plain != token {
					t.Errorf("decrypted %q, want %q", plain, token)
				}
				if plain, err := encrypted.Open(got, c.key, o); err != nil || string(plain) != token {
					t.Errorf("Open = %q, %v", plain, err)
				}
			}
			if bytes.Equal(inner.stored[0], inner.stored[1]) {
				t.Error("the same token twice gave the same envelope: the nonce is not random")
			}
			if s.Name() != inner.Name() {
				t.Errorf("Name = %q", s.Name())
			}
		})
	}
}

// testdata/envelopes.json was made with Python's cryptography, which shares no code with Go; the sink's key pair is Bob's of RFC 7748, section 6.1.
func TestGoldenEnvelopes(t *testing.T) {
	content, err := os.ReadFile("testdata/envelopes.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden []struct {
		Name, AAD, Plain string
		Private          []byte
		Derive           bool
		Envelope         json.RawMessage
	}
	if err := json.Unmarshal(content, &golden); err != nil || len(golden) != 5 {
		t.Fatal(len(golden), err)
	}
	for _, g := range golden {
		t.Run(g.Name, func(t *testing.T) {
			key, err := ecdh.X25519().NewPrivateKey(g.Private)
			if err != nil {
				t.Fatal(err)
			}
			got, err := encrypted.Open(g.Envelope, key, encrypted.Options{DeriveKey: g.Derive, AAD: []byte(g.AAD)})
			if err != nil || string(got) != g.Plain {
				t.Errorf("Open = %q, %v", got, err)
			}
			for what, o := range map[string]encrypted.Options{
				"the other derivation": {DeriveKey: !g.Derive, AAD: []byte(g.AAD)},
				"another AAD":          {DeriveKey: g.Derive, AAD: []byte(g.AAD + "x")},
			} {
				if got, err := encrypted.Open(g.Envelope, key, o); err == nil || !strings.Contains(err.Error(), "derive_key and aad as the sink has them") {
					t.Errorf("with %s: %q, %v", what, got, err)
				}
			}
			if got, err := encrypted.Open(g.Envelope, newKey(t), encrypted.Options{DeriveKey: g.Derive, AAD: []byte(g.AAD)}); err == nil {
				t.Errorf("with another key: %q", got)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	own := newKey(t)
	peer := b64(newKey(t).PublicKey().Bytes())
	for name, tc := range map[string]struct{ content, want string }{
		"nothing":           {"", "not an encrypted sink's file"},
		"a bare token":      {"hvs.bare", "not an encrypted sink's file"},
		"a wrapping token":  {`{"token":"hvs.wrapping"}`, "not an encrypted sink's file"},
		"a short key":       {`{"curve25519_public_key":"AAAA","nonce":"AAAAAAAAAAAAAAAA","encrypted_payload":"AAAA"}`, "not an encrypted sink's file"},
		"a short nonce":     {`{"curve25519_public_key":"` + peer + `","nonce":"AAAA","encrypted_payload":"AAAA"}`, "not an encrypted sink's file"},
		"no nonce":          {`{"curve25519_public_key":"` + peer + `","encrypted_payload":"AAAA"}`, "not an encrypted sink's file"},
		"no payload":        {`{"curve25519_public_key":"` + peer + `","nonce":"AAAAAAAAAAAAAAAA"}`, "not an encrypted sink's file"},
		"a short payload":   {`{"curve25519_public_key":"` + peer + `","nonce":"AAAAAAAAAAAAAAAA","encrypted_payload":"AAAA"}`, "cannot be decrypted"},
		"a low-order point": {`{"curve25519_public_key":"` + b64(make([]byte, 32)) + `","nonce":"AAAAAAAAAAAAAAAA","encrypted_payload":"AAAA"}`, "low order"},
		"our own key":       {`{"curve25519_public_key":"` + b64(own.PublicKey().Bytes()) + `","nonce":"AAAAAAAAAAAAAAAA","encrypted_payload":"AAAA"}`, "same public key"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := encrypted.Open([]byte(tc.content), own, encrypted.Options{DeriveKey: true})
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hvs.") {
				t.Errorf("Open = %q, %v; want ...%s...", got, err, tc.want)
			}
		})
	}
}

// The points of low order of curve25519, and some that are such a point only once reduced: everybody knows what they lead to.
func TestLowOrderPointsAreRefused(t *testing.T) {
	for _, hex := range []string{
		strings.Repeat("00", 32),
		"01" + strings.Repeat("00", 31),
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		path, inner := filepath.Join(t.TempDir(), "public.json"), &memory{}
		write(t, path, `{"curve25519_public_key":"`+base64.StdEncoding.EncodeToString(unhex(t, hex))+`"}`)
		for _, derive := range []bool{false, true} {
			err := encrypted.New(inner, newKey(t), path, encrypted.Options{DeriveKey: derive}).Write(t.Context(), vault.NewToken("hvs.1"))
			if err == nil || len(inner.stored) > 0 || !strings.Contains(err.Error(), "low order") {
				t.Errorf("%s: Write = %v, %d envelopes stored", hex, err, len(inner.stored))
			}
		}
	}
}

func TestTheSinksOwnKeyIsNoClients(t *testing.T) {
	own, inner := newKey(t), &memory{}
	c := client{own, filepath.Join(t.TempDir(), "public.json")}
	c.publish(t)
	for _, derive := range []bool{false, true} {
		err := encrypted.New(inner, own, c.path, encrypted.Options{DeriveKey: derive}).Write(t.Context(), vault.NewToken("hvs.1"))
		if err == nil || len(inner.stored) > 0 || !strings.Contains(err.Error(), "same public key") {
			t.Errorf("Write = %v, %d envelopes stored", err, len(inner.stored))
		}
	}
}

func TestThePublicKeyMayComeLater(t *testing.T) {
	dir := t.TempDir()
	c := client{newKey(t), filepath.Join(dir, "public.json")}
	inner := &memory{}
	s := encrypted.New(inner, newKey(t), c.path, encrypted.Options{})
	token := vault.NewToken("hvs.secret")
	for _, step := range []struct {
		name, want string
		do         func()
	}{
		{"not there", "is missing", func() {}},
		{"empty", "holds no public key", func() { write(t, c.path, "") }},
		{"half written", "holds no public key", func() { write(t, c.path, `{"curve25519_public_key":"AAAA`) }},
		{"no key in it", "holds no public key", func() { write(t, c.path, `{}`) }},
		{"too short", "holds no public key", func() { write(t, c.path, `{"curve25519_public_key":"AAAA"}`) }},
		{"no base64", "holds no public key", func() { write(t, c.path, `{"curve25519_public_key":"hvs.secret"}`) }},
		{"huge", "larger than", func() { write(t, c.path, strings.Repeat(" ", 2<<20)) }},
		{"a directory", "not a regular file", func() { _ = os.Remove(c.path); _ = os.Mkdir(c.path, 0o700) }},
	} {
		step.do()
		err := s.Write(t.Context(), token)
		if err == nil || !strings.Contains(err.Error(), step.want) || !strings.Contains(err.Error(), c.path) || strings.Contains(err.Error(), "hvs.") {
			t.Errorf("%s: Write = %v, want ...%s... and the path", step.name, err, step.want)
		}
	}
	if len(inner.stored) > 0 {
		t.Fatalf("stored without a key: %s", inner.stored)
	}
	if err := os.Remove(c.path); err != nil {
		t.Fatal(err)
	}
	c.publish(t)
	if err := s.Write(t.Context(), token); err != nil {
		t.Fatal(err)
	}

	// Trust on first use: another key at that path gets nothing, and neither does its absence matter.
	client{newKey(t), c.path}.publish(t)
	if err := s.Write(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(c.path); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	for _, e := range inner.stored {
		if got := c.decrypt(t, e, false, ""); got != "hvs.secret" {
			t.Errorf("decrypted %q", got)
		}
	}
}

func TestTheInnerSinksErrorArrives(t *testing.T) {
	c, full := newClient(t), errors.New("disk full")
	if err := encrypted.New(&memory{err: full}, newKey(t), c.path, encrypted.Options{}).Write(t.Context(), vault.NewToken("hvs.1")); !errors.Is(err, full) {
		t.Errorf("Write = %v", err)
	}
}
