package seal

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// maxToken bounds a service account token, in bytes. Real ones have one or two KiB.
const maxToken = 1 << 20

// What the key of OpenServiceAccount can be made from.
const (
	fromClaims = "claims"
	fromToken  = "token"
)

// OpenServiceAccount makes a key from the service account token at path, and says for the log what of it the key was made from:
//
//   - "claims": namespace, service account and pod, as a projected token names them. Such a token is replaced about once an hour, and what
//     is bound to its text, as Vault Agent's file is, does not open after the next restart. These claims stay as long as the pod. They
//     are no secret, and nobody checks the signature here: whoever has the state file and knows them, or may ask Kubernetes for them, can
//     open it. This keeps the pods apart whose files lie in one volume; it does not replace a key.
//   - "token": the whole text of anything else, without the white space around it: a token that stands in a Secret and never expires, or
//     whatever file was named outside of Kubernetes (hashicorp/vault#26265). One that is as hard to guess as a key, and that others cannot
//     read, protects as a key file does. Its mode is not checked, because Kubernetes mounts tokens for everyone in the pod. A token that
//     expires and lacks those claims opens the file only until it is replaced.
func OpenServiceAccount(path string) (k *Key, bound string, err error) {
	token, err := readToken(path)
	if err != nil {
		return nil, "", fmt.Errorf("service account token %s: %w", path, err)
	}
	material, bound := []byte(token), fromToken
	if claims, ok := stableClaims(token); ok {
		material, bound = unambiguous(claims), fromClaims
	}
	// The purpose differs as well, so that no file can be written whose text gives the key of somebody's claims.
	secret, err := hkdf.Key(sha256.New, material, nil, "leasehold service account "+bound, size)
	if err != nil {
		return nil, "", fmt.Errorf("service account token %s: %w", path, err)
	}
	k, err = NewKey((*[size]byte)(secret))
	return k, bound, err
}

func readToken(path string) (string, error) {
	text, _, err := readRegular(path, maxToken)
	const remedy = "set service_account_token_file to a token that Kubernetes mounts, or use another type of persist"
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%w; let uid %d read it", err, os.Geteuid())
	case err != nil:
		return "", fmt.Errorf("%w; %s", err, remedy)
	case len(text) > maxToken:
		return "", fmt.Errorf("it has more than %d bytes; %s", maxToken, remedy)
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", fmt.Errorf("it is empty; %s", remedy)
	}
	return text, nil
}

// stableClaims returns what a projected service account token says of its bearer that its successors will say too: namespace, name and
// UID of the service account, and the UID of the pod when it is bound to one. Names and shape are those of Kubernetes' own
// (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/); without the claim exp nothing needs to be stable.
func stableClaims(token string) ([]string, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, false
	}
	var payload []byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return nil, false
		}
		if i == 1 {
			payload = b
		}
	}
	var claims map[string]any // not a struct, whose fields match keys in any case
	if json.Unmarshal(payload, &claims) != nil || claims["exp"] == nil {
		return nil, false
	}
	k := object(claims, "kubernetes.io")
	account := object(k, "serviceaccount")
	stable := []string{text(k, "namespace"), text(account, "name"), text(account, "uid")}
	if _, bound := k["pod"]; bound {
		stable = append(stable, text(object(k, "pod"), "uid"))
	}
	for _, claim := range stable {
		if claim == "" {
			return nil, false
		}
	}
	return stable, true
}

func object(from map[string]any, key string) map[string]any {
	o, _ := from[key].(map[string]any)
	return o
}

func text(from map[string]any, key string) string {
	s, _ := from[key].(string)
	return s
}

// unambiguous joins texts so that no other texts give the same bytes: each has its length in front.
func unambiguous(texts []string) []byte {
	var b []byte
	for _, s := range texts {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}
