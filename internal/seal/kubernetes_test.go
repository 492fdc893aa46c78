package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/seal"
)

// projected is the payload of a projected token as the API server writes it; the arguments are exp, namespace, name and UID of the
// service account, and what stands behind.
const projected = `{"aud":["https://kubernetes.default.svc"],"exp":%d,"iat":1700000000,"iss":"https://kubernetes.default.svc",` +
	`"kubernetes.io":{"namespace":%q,"node":{"name":"n","uid":"nu"},"serviceaccount":{"name":%q,"uid":%q}%s,"warnafter":1700003607},` +
	`"nbf":1700000000,"sub":"system:serviceaccount:ns:app"}`

const podClaim = `,"pod":{"name":"app-0","uid":"pu"}`

func jwt(payload, signature string) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + e([]byte(payload)) + "." + e([]byte(signature))
}

// derived opens the token and returns what tells its key from others.
func derived(t *testing.T, token string) (key [32]byte, bound string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token), 0o644); err != nil { // as Kubernetes mounts it
		t.Fatal(err)
	}
	k, bound, err := seal.OpenServiceAccount(path)
	if err != nil {
		t.Fatal(err)
	}
	return k.Derive("x"), bound
}

func TestAProjectedTokenMayBeReplaced(t *testing.T) {
	now, bound := derived(t, jwt(fmt.Sprintf(projected, 1700003600, "ns", "app", "su", podClaim), "one"))
	later, _ := derived(t, jwt(fmt.Sprintf(projected, 1700007200, "ns", "app", "su", podClaim), "two")+"\n")
	if bound != "claims" {
		t.Errorf("made from the %s", bound)
	}
	if now != later {
		t.Error("its successor gives another key")
	}
}

func TestThePodAndItsServiceAccountMakeTheKey(t *testing.T) {
	seen := map[[32]byte]string{}
	for name, payload := range map[string]string{
		"this pod":                fmt.Sprintf(projected, 1, "ns", "app", "su", podClaim),
		"another namespace":       fmt.Sprintf(projected, 1, "ns2", "app", "su", podClaim),
		"another account":         fmt.Sprintf(projected, 1, "ns", "app2", "su", podClaim),
		"an account made anew":    fmt.Sprintf(projected, 1, "ns", "app", "su2", podClaim),
		"another pod":             fmt.Sprintf(projected, 1, "ns", "app", "su", `,"pod":{"name":"app-0","uid":"pu2"}`),
		"no pod":                  fmt.Sprintf(projected, 1, "ns", "app", "su", ""),
		"the same letters":        fmt.Sprintf(projected, 1, "nsa", "pp", "su", podClaim),
		"the same letters, no 2":  fmt.Sprintf(projected, 1, "ns", "ap", "psu", podClaim),
		"the pod's at the end":    fmt.Sprintf(projected, 1, "ns", "app", "supu", ""),
		"the pod's at the end, 2": strings.Replace(fmt.Sprintf(projected, 1, "ns", "app", "su-pu", ""), "su-pu", `su\u0002pu`, 1),
	} {
		key, bound := derived(t, jwt(payload, "s"))
		if bound != "claims" {
			t.Errorf("%s: made from the %s", name, bound)
		}
		if other, taken := seen[key]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[key] = name
	}
}

func TestEverythingElseMakesTheKeyAsAWhole(t *testing.T) {
	good := fmt.Sprintf(projected, 1, "ns", "app", "su", podClaim)
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %s in the token", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	e := base64.RawURLEncoding.EncodeToString([]byte(good))
	for name, token := range map[string]string{
		"a token of a Secret": jwt(`{"iss":"kubernetes/serviceaccount","kubernetes.io/serviceaccount/namespace":"ns",`+
			`"kubernetes.io/serviceaccount/service-account.uid":"su","sub":"system:serviceaccount:ns:app"}`, "s"),
		"claims that never expire":          jwt(swap(`"exp":1,`, ""), "s"),
		"exp is null":                       jwt(swap(`"exp":1,`, `"exp":null,`), "s"),
		"exp in other letters":              jwt(swap(`"exp"`, `"Exp"`), "s"),
		"claims in other letters":           jwt(swap(`"kubernetes.io"`, `"Kubernetes.io"`), "s"),
		"a token of another issuer":         jwt(`{"exp":1,"sub":"app"}`, "s"),
		"no namespace":                      jwt(swap(`"namespace":"ns",`, ""), "s"),
		"a namespace of no letters":         jwt(swap(`"namespace":"ns"`, `"namespace":""`), "s"),
		"a namespace that is a number":      jwt(swap(`"namespace":"ns"`, `"namespace":5`), "s"),
		"no service account":                jwt(swap(`"serviceaccount"`, `"account"`), "s"),
		"a service account that is a text":  jwt(swap(`{"name":"app","uid":"su"}`, `"app"`), "s"),
		"a service account without a UID":   jwt(swap(`,"uid":"su"`, ""), "s"),
		"a pod without a UID":               jwt(swap(`,"uid":"pu"`, ""), "s"),
		"a pod that is null":                jwt(swap(`{"name":"app-0","uid":"pu"}`, `null`), "s"),
		"claims that are a list":            jwt(`[`+good+`]`, "s"),
		"half the claims":                   jwt(good[:len(good)/2], "s"),
		"more behind the claims":            jwt(good+good, "s"),
		"a number too large":                jwt(swap(`"exp":1,`, `"exp":1e999,`), "s"),
		"two parts":                         "e30." + e,
		"four parts":                        "e30." + e + ".c2ln.c2ln",
		"a header that is no base64":        "e30=." + e + ".c2ln",
		"a signature that is no base64":     "e30." + e + ".c2+n",
		"the claims themselves":             good,
		"a key of another kind":             base64.StdEncoding.EncodeToString([]byte(secret)),
		"bytes":                             "\x00\xff\x00",
		"as much as there may be":           strings.Repeat("x", 1<<20),
		"the bytes that claims are made to": "\x02ns\x03app\x02su\x02pu",
	} {
		t.Run(name, func(t *testing.T) {
			key, bound := derived(t, token)
			if bound != "token" {
				t.Errorf("made from the %s", bound)
			}
			if same, _ := derived(t, token); same != key {
				t.Error("the same token gives another key")
			}
			if other, _ := derived(t, token[1:]); other == key {
				t.Error("another token gives the same key")
			}
			if claims, _ := derived(t, jwt(good, "s")); claims == key {
				t.Error("it gives the key of claims")
			}
		})
	}
}

func TestWhiteSpaceAroundATokenDoesNotCount(t *testing.T) {
	key, _ := derived(t, "any text")
	if spaced, _ := derived(t, " any text\r\n\n"); spaced != key {
		t.Error("it gives another key")
	}
}

func TestATokenIsRefusedWithARemedy(t *testing.T) {
	const remedy = "; set service_account_token_file to a token that Kubernetes mounts, or use another type of persist"
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, tc := range map[string]struct{ path, want string }{
		"missing":         {filepath.Join(dir, "missing"), "no such file or directory" + remedy},
		"empty":           {write("empty", ""), "it is empty" + remedy},
		"only line ends":  {write("lines", "\r\n\n"), "it is empty" + remedy},
		"more than 1 MiB": {write("large", strings.Repeat("x", 1<<20+1)), "it has more than 1048576 bytes" + remedy},
		"a directory":     {dir, "it is not a regular file" + remedy},
	} {
		t.Run(name, func(t *testing.T) {
			k, bound, err := seal.OpenServiceAccount(tc.path)
			if k != nil || bound != "" || err == nil {
				t.Fatalf("accepted: %v, %q, %v", k, bound, err)
			}
			if msg := err.Error(); !strings.HasPrefix(msg, "service account token "+tc.path+": ") || !strings.HasSuffix(msg, tc.want) {
				t.Errorf("error = %s\nwant the path and: %s", msg, tc.want)
			}
		})
	}
}

// What is on disk must stay readable.
func TestTokensGiveTheKeysOfTheFirstVersion(t *testing.T) {
	for name, tc := range map[string]struct{ token, bound, want string }{
		"projected": {jwt(fmt.Sprintf(projected, 1, "ns", "app", "su", podClaim), "s"), "claims", "9f0eea5238dd6c977cfe87c1f02407e2dbb5302b1fa35aac56068697f5b31e3d"},
		"a file":    {"any text", "token", "c76f5293bf8731b6a0567c6ecf6ffaa5281bbf7feb43d446416824cb80232fd1"},
	} {
		if key, bound := derived(t, tc.token); bound != tc.bound || hex.EncodeToString(key[:]) != tc.want {
			t.Errorf("%s gives %x, made from the %s; want %s from the %s", name, key, bound, tc.want, tc.bound)
		}
	}
}

// Whatever the claims, and whatever else is in the file: an answer, always the same one, and for claims the successor's too.
func FuzzStableClaims(f *testing.F) {
	good := fmt.Sprintf(projected, 1, "ns", "app", "su", podClaim)
	for _, payload := range []string{
		good, fmt.Sprintf(projected, 1, "ns", "app", "su", ""), strings.Replace(good, `"pu"`, `null`, 1), `{"exp":1,"kubernetes.io":{}}`, `{}`, `null`, `[`, "\xff",
		`{"exp":1,"exp":null,"kubernetes.io":{"namespace":"\ud800","serviceaccount":{"name":"a","uid":"b"}}}`, strings.Repeat("[", 20_000),
	} {
		f.Add(payload, true)
		f.Add(jwt(payload, "s"), false)
	}
	f.Fuzz(func(t *testing.T, token string, isPayload bool) {
		if isPayload {
			token = jwt(token, "one")
		}
		claims, ok := seal.StableClaims(token)
		again, okAgain := seal.StableClaims(token)
		if ok != okAgain || !slices.Equal(claims, again) {
			t.Fatalf("%q, %t and then %q, %t of %q", claims, ok, again, okAgain, token)
		}
		if ok != (len(claims) == 3 || len(claims) == 4) || slices.Contains(claims, "") {
			t.Fatalf("%q, %t of %q", claims, ok, token)
		}
		if !ok {
			return
		}
		payload := strings.Split(token, ".")[1]
		if b, err := base64.RawURLEncoding.DecodeString(payload); err != nil || !json.Valid(b) || !bytes.Contains(b, []byte("exp")) && !bytes.Contains(b, []byte(`\u`)) {
			t.Errorf("claims were found in %q", b)
		}
		if successor, ok := seal.StableClaims("e30." + payload + ".AAAA"); !ok || !slices.Equal(claims, successor) {
			t.Errorf("the same claims with another signature: %q, %t, want %q", successor, ok, claims)
		}
	})
}
