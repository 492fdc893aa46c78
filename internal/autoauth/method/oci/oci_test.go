package oci_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/youmark/pkcs8"
	"go.uber.org/goleak"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/oci"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ autoauth.Watcher = (*oci.Method)(nil)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// recorder answers every request with a token and keeps the last one's path and headers to verify.
type recorder struct {
	path    string
	headers http.Header
}

func (v *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var body struct {
		Headers http.Header `json:"request_headers"`
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		return nil, err
	}
	v.path, v.headers = r.Method+" "+r.URL.EscapedPath(), body.Headers
	return answer(r, 200, `{"auth":{"client_token":"hvs.1"}}`), nil
}

func answer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}, "Location": {"/opc/v2/instance/canonicalRegionName"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

func client(t *testing.T, rt http.RoundTripper) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: "https://vault.example:8200", HttpClient: &http.Client{Transport: rt}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// keys are two, since making them takes a while.
var keys = sync.OnceValue(func() (keys [2]*rsa.PrivateKey) {
	for i := range keys {
		var err error
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return keys
})

func pkcs1(key *rsa.PrivateKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func plain8(key *rsa.PrivateKey) string {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func encrypted(key *rsa.PrivateKey) string {
	der, err := pkcs8.MarshalPrivateKey(key, []byte("hush"), nil)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}))
}

var authorization = regexp.MustCompile(`^Signature version="1",headers="([^"]*)",keyId="([^"]*)",algorithm="rsa-sha256",signature="([^"]*)"$`)

// verify does what Oracle does with the headers of a request: it builds the text that the header Authorization says was signed (draft-cavage-http-signatures-08).
func verify(t *testing.T, h http.Header, want string, key *rsa.PublicKey) (keyID string) {
	t.Helper()
	parts := authorization.FindStringSubmatch(h.Get("Authorization"))
	if parts == nil {
		t.Fatalf("Authorization is %q", h.Get("Authorization"))
	}
	if parts[1] != want {
		t.Errorf("signed are the headers %s, want %s", parts[1], want)
	}
	var lines []string
	for name := range strings.FieldsSeq(parts[1]) {
		value := h.Get(name)
		if name == "(request-target)" {
			value = h["(request-target)"][0]
		}
		lines = append(lines, name+": "+value)
	}
	signature, err := base64.StdEncoding.DecodeString(parts[3])
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature); err != nil {
		t.Errorf("the signature is not that of %q: %v", lines, err)
	}
	return parts[2]
}

// home makes a home directory of files, and an environment that says nothing.
func home(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"tenancy_ocid", "user_ocid", "fingerprint", "private_key_path"} {
		t.Setenv("OCI_"+name, "")
		t.Setenv("OCI_"+strings.ToUpper(name), "")
	}
	t.Setenv("OCI_CONFIG_FILE", "")
	for name, content := range files {
		put(t, filepath.Join(dir, name), content)
	}
	return dir
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

const profile = "# of the web\n[DEFAULT]\nuser=user-1\nfingerprint = 20:3b\n tenancy=tenancy-1\nregion=us-ashburn-1\nkey_file=~/key.pem\n[OTHER]\nuser=user-2\n"

func TestAPIKey(t *testing.T) {
	key := keys()[0]
	for name, tc := range map[string]struct {
		files map[string]string
		setup func(t *testing.T, dir string)
		role  string
		mount string
		path  string
		keyID string
	}{
		"the user's file":         {files: map[string]string{".oci/config": profile, "key.pem": pkcs1(key)}},
		"a key of PKCS#8":         {files: map[string]string{".oci/config": profile, "key.pem": plain8(key)}},
		"a key with a passphrase": {files: map[string]string{".oci/config": strings.Replace(profile, "[OTHER]", "pass_phrase=hush\n[OTHER]", 1), "key.pem": encrypted(key)}},
		"the file of old":         {files: map[string]string{".oraclebmc/config": profile, "key.pem": pkcs1(key)}},
		"another mount and role": {
			files: map[string]string{".oci/config": profile, "key.pem": pkcs1(key)}, mount: "auth/cloud/oci", role: "Web-1", path: "/v1/auth/cloud/oci/login/web-1",
		},
		"a session token": {
			files: map[string]string{".oci/config": "[DEFAULT]\ntenancy=t\nkey_file=~/key.pem\nsecurity_token_file=~/token\n", "key.pem": pkcs1(key), "token": "e30.e30.c2ln\n"},
			keyID: "ST$e30.e30.c2ln",
		},
		"a file of the environment": {
			files: map[string]string{"elsewhere": profile, ".oraclebmc/config": "[DEFAULT]\nuser=old\n", "key.pem": pkcs1(key)},
			setup: func(t *testing.T, dir string) { t.Setenv("OCI_CONFIG_FILE", filepath.Join(dir, "elsewhere")) },
		},
		"the environment": {
			files: map[string]string{".oci/config": profile, "env.pem": pkcs1(key)},
			setup: func(t *testing.T, dir string) {
				for name, value := range map[string]string{"tenancy_ocid": "t", "user_ocid": "u", "FINGERPRINT": "f", "private_key_path": filepath.Join(dir, "env.pem")} {
					t.Setenv("OCI_"+name, value)
				}
			},
			keyID: "t/u/f",
		},
		"half an environment": {
			files: map[string]string{".oci/config": profile, "key.pem": pkcs1(key)},
			setup: func(t *testing.T, _ string) { t.Setenv("OCI_tenancy_ocid", "t") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := home(t, tc.files)
			if tc.setup != nil {
				tc.setup(t, dir)
			}
			if tc.role == "" {
				tc.role, tc.path = "web", "/v1/auth/oci/login/web"
			}
			if tc.keyID == "" {
				tc.keyID = "tenancy-1/user-1/20:3b"
			}
			v := &recorder{}
			secret, err := oci.New(tc.role, oci.APIKey{Home: dir}, oci.Options{MountPath: tc.mount, Now: clock}).Login(t.Context(), client(t, v))
			if err != nil || secret.Auth.ClientToken != "hvs.1" {
				t.Fatalf("Login = %v, %v", secret, err)
			}
			if v.path != "PUT "+tc.path {
				t.Errorf("sent %s, want %s", v.path, tc.path)
			}
			if keyID := verify(t, v.headers, "date (request-target) host", &key.PublicKey); keyID != tc.keyID {
				t.Errorf("signed as %s, want %s", keyID, tc.keyID)
			}
			delete(v.headers, "Authorization")
			want := http.Header{"Date": {"Sun, 01 Mar 2026 12:00:00 GMT"}, "Host": {"vault.example:8200"}, "(request-target)": {"get " + tc.path}}
			if fmt.Sprint(v.headers) != fmt.Sprint(want) {
				t.Errorf("sent the headers %v, want %v", v.headers, want)
			}
		})
	}
}

func TestKeysThatAreNoUse(t *testing.T) {
	key := pkcs1(keys()[0])
	for name, tc := range map[string]struct {
		files map[string]string
		says  string
	}{
		"nothing":          {nil, "there is no API key of OCI; write ~/.oci/config"},
		"empty":            {map[string]string{".oci/config": ""}, "has no profile DEFAULT"},
		"another profile":  {map[string]string{".oci/config": "[OTHER]\nuser=u\n"}, "has no profile DEFAULT"},
		"too large":        {map[string]string{".oci/config": strings.Repeat("#", 1<<20)}, "larger than 64 KiB"},
		"no key file":      {map[string]string{".oci/config": "[DEFAULT]\nuser=u\n"}, "has no key_file"},
		"a missing key":    {map[string]string{".oci/config": profile}, "write it to ~/key.pem"},
		"half a key":       {map[string]string{".oci/config": profile, "key.pem": key[:300]}, "~/key.pem is not an RSA key"},
		"a wrong password": {map[string]string{".oci/config": profile, "key.pem": encrypted(keys()[0])}, "or its passphrase"},
		"no user":          {map[string]string{".oci/config": strings.Replace(profile, "user=user-1", "", 1), "key.pem": key}, "has no user"},
		"no fingerprint":   {map[string]string{".oci/config": strings.Replace(profile, "fingerprint", "f", 1), "key.pem": key}, "has no fingerprint"},
		"no session": {
			map[string]string{".oci/config": "[DEFAULT]\nkey_file=~/key.pem\nsecurity_token_file=~/token\n", "key.pem": key}, "read the session token",
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := &recorder{}
			_, err := oci.New("web", oci.APIKey{Home: home(t, tc.files)}, oci.Options{}).Login(t.Context(), client(t, v))
			if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "; ") {
				t.Errorf("Login = %v, want %q and a remedy", err, tc.says)
			}
			if v.path != "" {
				t.Errorf("asked Vault for all that: %s", v.path)
			}
		})
	}
}

func TestAnotherKeyIsANotice(t *testing.T) {
	key, next := keys()[0], keys()[1]
	dir := home(t, map[string]string{".oci/config": profile, "key.pem": pkcs1(key)})
	config := filepath.Join(dir, ".oci/config")
	synctest.Test(t, func(t *testing.T) {
		v := &recorder{}
		m := oci.New("web", oci.APIKey{Home: dir}, oci.Options{PollInterval: time.Minute})
		if _, err := m.Login(t.Context(), client(t, v)); err != nil {
			t.Fatal(err)
		}
		notices := make(chan time.Duration)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		start := time.Now()
		go m.Watch(ctx, func() { notices <- time.Since(start) })
		none := func(after string) {
			t.Helper()
			select {
			case <-notices:
				t.Errorf("a notice after %s", after)
			case <-time.After(100 * time.Second): // never when it polls
			}
		}
		none("nothing")
		put(t, config, "[DEFAULT]\nuser=user-1\n")
		none("half a configuration")
		put(t, config, strings.ReplaceAll(profile, "20:3b", "77:aa"))
		put(t, filepath.Join(dir, "key.pem"), plain8(next))
		if at := <-notices; at != 4*time.Minute {
			t.Errorf("the notice came after %v", at)
		}
		if _, err := m.Login(t.Context(), client(t, v)); err != nil {
			t.Fatal(err)
		}
		if keyID := verify(t, v.headers, "date (request-target) host", &next.PublicKey); keyID != "tenancy-1/user-1/77:aa" {
			t.Errorf("signed as %s", keyID)
		}
		none("its login")
	})
}

func TestRemedy(t *testing.T) {
	m := oci.New("web", oci.APIKey{}, oci.Options{})
	if got := m.Remedy(400); !strings.Contains(got, `role "web"`) || !strings.Contains(got, "the user of the API key") {
		t.Error(got)
	}
	if got := m.Remedy(404); !strings.Contains(got, "mounted at auth/oci") {
		t.Error(got)
	}
}
