package gcp_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/goleak"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/gcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ autoauth.Method = (*gcp.Method)(nil)

// recorder answers every request with a token and keeps the last one's path and body.
type recorder struct {
	path string
	body map[string]string
}

func (v *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	v.path = r.Method + " " + r.URL.Path
	if err := json.NewDecoder(r.Body).Decode(&v.body); err != nil {
		return nil, err
	}
	answer := `{"auth":{"client_token":"hvs.1"}}`
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

func client(t *testing.T, rt http.RoundTripper) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: "http://vault.example:8200/", HttpClient: &http.Client{Transport: rt}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func method(t *testing.T, kind string, o gcp.Options) *gcp.Method {
	t.Helper()
	m, err := gcp.New(kind, "web", o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// serve stands in for a service of Google.
func serve(t *testing.T, h http.HandlerFunc) (address string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// gone is the address of a server that has stopped.
func gone() string {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	return srv.URL
}

func TestGCE(t *testing.T) {
	google := issuers()[0]
	for name, tc := range map[string]struct {
		opts    gcp.Options
		fromEnv bool
		path    string
		account string
	}{
		"the default account":       {gcp.Options{}, false, "PUT /v1/auth/gcp/login", "default"},
		"another account":           {gcp.Options{ServiceAccount: "web@shop.iam.gserviceaccount.com"}, false, "PUT /v1/auth/gcp/login", "web@shop.iam.gserviceaccount.com"},
		"another mount":             {gcp.Options{MountPath: "auth/cloud/g"}, false, "PUT /v1/auth/cloud/g/login", "default"},
		"a host of the environment": {gcp.Options{}, true, "PUT /v1/auth/gcp/login", "default"},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Metadata-Flavor") != "Google" || r.URL.Path != "/computeMetadata/v1/instance/service-accounts/"+tc.account+"/identity" {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				_, _ = io.WriteString(w, google.sign(t, map[string]any{"aud": r.URL.Query().Get("audience"), "format": r.URL.Query().Get("format")})+"\n")
			})
			tc.opts.Metadata = address
			if tc.fromEnv {
				t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(address, "http://"))
				tc.opts.Metadata = ""
			}
			v := &recorder{}
			secret, err := method(t, gcp.GCE, tc.opts).Login(t.Context(), client(t, v))
			if err != nil || secret.Auth.ClientToken != "hvs.1" {
				t.Fatalf("Login = %v, %v", secret, err)
			}
			if v.path != tc.path || v.body["role"] != "web" || len(v.body) != 2 {
				t.Errorf("sent %s %v", v.path, v.body)
			}
			claims := google.verify(t, v.body["jwt"])
			if claims["aud"] != "http://vault.example:8200/vault/web" || claims["format"] != "full" {
				t.Errorf("asked for %v", claims)
			}
		})
	}
}

func TestAnswersThatAreNoJWT(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		says   string
	}{
		"an error page":      {404, "e30.e30.c2ln", `the service account "default"`},
		"an error":           {503, "s3cret", "503 Service Unavailable"},
		"a redirect":         {301, "", "301 Moved Permanently"},
		"a page":             {200, "<html>s3cret</html>", "no JWT"},
		"half a JWT":         {200, "e30.s3cret", "no JWT"},
		"nothing":            {200, "", "no JWT"},
		"an endless answer":  {200, strings.Repeat("s3cret", 1<<20), "longer than 1024 KiB"},
		"a JWT with a space": {200, "e30.e30 .c2ln", "no JWT"},
	} {
		t.Run(name, func(t *testing.T) {
			elsewhere := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "e30.e30.c2ln") })
			address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", elsewhere) // of the redirect
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			v := &recorder{}
			_, err := method(t, gcp.GCE, gcp.Options{Metadata: address}).Login(t.Context(), client(t, v))
			if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "; ") || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("Login = %v, want %q, a remedy, and nothing of the answer", err, tc.says)
			}
			if v.path != "" {
				t.Errorf("asked Vault for all that: %s", v.path)
			}
		})
	}
}

func TestNoMetadataService(t *testing.T) {
	_, err := method(t, gcp.GCE, gcp.Options{Metadata: gone()}).Login(t.Context(), client(t, &recorder{}))
	if err == nil || !strings.Contains(err.Error(), "no answer from 127.0.0.1") || !strings.HasSuffix(err.Error(), "; run Leasehold on a machine of Google Cloud, or set type to iam") {
		t.Errorf("Login = %v", err)
	}
}

func TestCancelledGCE(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done() // and never an answer
	})
	_, err := method(t, gcp.GCE, gcp.Options{Metadata: address}).Login(ctx, client(t, &recorder{}))
	if err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("Login = %v", err)
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for name, make := range map[string]func() (*gcp.Method, error){
		"type":    func() (*gcp.Method, error) { return gcp.New("gke", "web", gcp.Options{}) },
		"jwt_exp": func() (*gcp.Method, error) { return gcp.New(gcp.IAM, "web", gcp.Options{Lifetime: -time.Minute}) },
	} {
		if _, err := make(); err == nil || !strings.Contains(err.Error(), "; set "+name+" to") {
			t.Errorf("%s: New = %v", name, err)
		}
	}
}

func TestRemedy(t *testing.T) {
	m := method(t, gcp.IAM, gcp.Options{})
	if got := m.Remedy(403); !strings.Contains(got, `role "web"`) || !strings.Contains(got, "type iam") {
		t.Error(got)
	}
	if got := m.Remedy(404); !strings.Contains(got, "mounted at auth/gcp") {
		t.Error(got)
	}
}
