package alicloud_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"go.uber.org/goleak"

	"leasehold/internal/autoauth/method/alicloud"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// recorder answers every request with a token, or with status, and keeps the last one's path and body.
type recorder struct {
	status     int
	path, body string
}

func (v *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	v.path, v.body = r.Method+" "+r.URL.Path, string(body)
	if v.status == 0 {
		v.status = 200
	}
	answer := `{"auth":{"client_token":"hvs.1"}}`
	return &http.Response{StatusCode: v.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

func client(t *testing.T, rt http.RoundTripper) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: "http://vault.example:8200", HttpClient: &http.Client{Transport: rt}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t *testing.T, o alicloud.Options) *alicloud.Method {
	t.Helper()
	m, err := alicloud.Open(t.Context(), "dev", "eu-central-1", quiet, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// login logs in and returns what was sent.
func login(t *testing.T, m *alicloud.Method) *recorder {
	t.Helper()
	v := &recorder{}
	secret, err := m.Login(t.Context(), client(t, v))
	if err != nil || secret.Auth.ClientToken != "hvs.1" {
		t.Fatalf("Login = %v, %v", secret, err)
	}
	return v
}

// request takes the request to STS out of a login body, as Vault does.
func request(t *testing.T, v *recorder) (*url.URL, http.Header) {
	t.Helper()
	fields := map[string]string{}
	if err := json.Unmarshal([]byte(v.body), &fields); err != nil {
		t.Fatalf("the body %q: %v", v.body, err)
	}
	if fields["role"] != "dev" || len(fields) != 3 {
		t.Errorf("the fields are %v", fields)
	}
	address, err := base64.StdEncoding.DecodeString(fields["identity_request_url"])
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(string(address))
	if err != nil {
		t.Fatal(err)
	}
	headers, err := base64.StdEncoding.DecodeString(fields["identity_request_headers"])
	if err != nil {
		t.Fatal(err)
	}
	var header http.Header
	if err := json.Unmarshal(headers, &header); err != nil {
		t.Fatal(err)
	}
	return u, header
}

// toSign writes what Alibaba Cloud documents as the string to sign of a POST, with an encoding of its own: RFC 3986, byte by byte.
func toSign(query url.Values) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if name != "Signature" {
			pairs = append(pairs, percent(name)+"="+percent(query.Get(name)))
		}
	}
	return "POST&" + percent("/") + "&" + percent(strings.Join(pairs, "&"))
}

func percent(s string) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(unreserved, s[i]) >= 0 {
			b.WriteByte(s[i])
		} else {
			const digits = "0123456789ABCDEF"
			b.Write([]byte{'%', digits[s[i]>>4], digits[s[i]&15]})
		}
	}
	return b.String()
}

// correct reports whether a query is signed with secret.
func correct(query url.Values, secret string) bool {
	h := hmac.New(sha1.New, []byte(secret+"&"))
	h.Write([]byte(toSign(query)))
	return query.Get("Signature") == base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// signedBy logs in and returns the access key and token of the request, whose signature must be by secret.
func signedBy(t *testing.T, m *alicloud.Method, secret string) string {
	t.Helper()
	u, _ := request(t, login(t, m))
	if !correct(u.Query(), secret) {
		t.Errorf("%s is not signed with %s", u, secret)
	}
	return u.Query().Get("AccessKeyId") + " " + u.Query().Get("SecurityToken")
}

// nowhere takes all credentials away that the machine of the test may have.
func nowhere(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "ALICLOUD_") || strings.HasPrefix(name, "ALIBABA_CLOUD_") {
			t.Setenv(name, value) // brings it back afterwards
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}
