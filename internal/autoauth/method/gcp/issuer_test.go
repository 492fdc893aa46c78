package gcp_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"sync"
	"testing"
)

// issuer signs and verifies JWTs with a key of its own (RFC 7515, RS256).
type issuer struct{ key *rsa.PrivateKey }

// issuers are two, since making keys takes a while.
var issuers = sync.OnceValue(func() (all [2]issuer) {
	for i := range all {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		all[i].key = key
	}
	return all
})

func (i issuer) sign(t *testing.T, claims any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Error(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, digest[:])
	if err != nil {
		t.Error(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// verify returns the claims of a token that the issuer's key has signed.
func (i issuer) verify(t *testing.T, token string) (claims map[string]any) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Errorf("not a JWT: %q", token)
		return nil
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Error(err)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&i.key.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
		t.Errorf("verify %q: %v", token, err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Error(err)
	}
	return claims
}

// pem is the key as key files of service accounts have it.
func (i issuer) pem(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
