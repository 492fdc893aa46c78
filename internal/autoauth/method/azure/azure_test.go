package azure_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"go.uber.org/goleak"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/azure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ autoauth.Method = (*azure.Method)(nil)

const resource = "https://vault.example/"

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
	return answer(r, 200, `{"auth":{"client_token":"hvs.1"}}`), nil
}

func answer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

func client(t *testing.T, rt http.RoundTripper) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: "http://vault.example:8200", HttpClient: &http.Client{Transport: rt}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	aMachine = `{"compute":{"name":"vm-1","vmScaleSetName":"set-1","resourceGroupName":"group-1","subscriptionId":"sub-1","osType":"Linux"},"network":{}}`
	aToken   = `{"access_token":"e30.e30.c2ln","expires_in":"3599","token_type":"Bearer"}`
)

// page is an answer of the stand-in for the metadata service.
type page struct {
	status int
	body   string
}

// metadata stands in for the metadata service; it refuses what the real one refuses.
func metadata(t *testing.T, machine, token page) (address string, asked *[]string) {
	t.Helper()
	asked = new([]string)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, aMachine) }))
	t.Cleanup(elsewhere.Close)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata") != "true" || r.Header.Get("X-Forwarded-For") != "" || r.URL.Query().Get("api-version") != "2018-02-01" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		*asked = append(*asked, r.URL.String())
		p := machine
		switch r.URL.Path {
		case "/metadata/identity/oauth2/token":
			p = token
		case "/metadata/instance":
		default:
			p = page{status: http.StatusNotFound}
		}
		if p.status == http.StatusFound {
			w.Header().Set("Location", elsewhere.URL)
		}
		w.WriteHeader(p.status)
		_, _ = io.WriteString(w, p.body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

func method(t *testing.T, o azure.Options) *azure.Method {
	t.Helper()
	m, err := azure.New("web", resource, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestManagedIdentity(t *testing.T) {
	for name, tc := range map[string]struct {
		opts  azure.Options
		path  string
		query string
	}{
		"the machine's":   {azure.Options{}, "PUT /v1/auth/azure/login", "api-version=2018-02-01&resource=https%3A%2F%2Fvault.example%2F"},
		"by client ID":    {azure.Options{ClientID: "c-1"}, "PUT /v1/auth/azure/login", "api-version=2018-02-01&client_id=c-1&resource=https%3A%2F%2Fvault.example%2F"},
		"by object ID":    {azure.Options{ObjectID: "o-1"}, "PUT /v1/auth/azure/login", "api-version=2018-02-01&object_id=o-1&resource=https%3A%2F%2Fvault.example%2F"},
		"at another path": {azure.Options{MountPath: "auth/cloud/az"}, "PUT /v1/auth/cloud/az/login", "api-version=2018-02-01&resource=https%3A%2F%2Fvault.example%2F"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked *[]string
			tc.opts.Metadata, asked = metadata(t, page{200, aMachine}, page{200, aToken})
			v := &recorder{}
			secret, err := method(t, tc.opts).Login(t.Context(), client(t, v))
			if err != nil || secret.Auth.ClientToken != "hvs.1" {
				t.Fatalf("Login = %v, %v", secret, err)
			}
			want := map[string]string{"role": "web", "jwt": "e30.e30.c2ln", "vm_name": "vm-1", "vmss_name": "set-1", "resource_group_name": "group-1", "subscription_id": "sub-1"}
			if v.path != tc.path || !same(v.body, want) {
				t.Errorf("sent %s %v", v.path, v.body)
			}
			if token := "/metadata/identity/oauth2/token?" + tc.query; len(*asked) != 2 || (*asked)[1] != token {
				t.Errorf("asked for %v, want once for the machine and for %s", *asked, token)
			}
		})
	}
}

func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range b {
		if got, ok := a[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func TestAnswersThatAreNoUse(t *testing.T) {
	for name, tc := range map[string]struct {
		machine, token page
		says           []string
	}{
		"not Azure's":       {page{404, "a page"}, page{200, aToken}, []string{"about this machine", "404 Not Found", "authenticate_from_environment"}},
		"a redirect":        {page{302, ""}, page{200, aToken}, []string{"302 Found"}},
		"no JSON":           {page{200, "s3cret <html>"}, page{200, aToken}, []string{"cannot be understood"}},
		"an empty answer":   {page{200, ""}, page{200, aToken}, []string{"cannot be understood"}},
		"no machine":        {page{200, "{}"}, page{200, aToken}, []string{"names no machine"}},
		"endless":           {page{200, `{"compute":{"name":"` + strings.Repeat("s3cret", 1<<20) + `"}}`}, page{200, aToken}, []string{"cannot be understood"}},
		"no identity":       {page{200, aMachine}, page{400, `{"error":"s3cret"}`}, []string{"for a token", "400 Bad Request", "has a managed identity", resource}},
		"busy":              {page{200, aMachine}, page{429, ""}, []string{"429 Too Many Requests"}},
		"an empty token":    {page{200, aMachine}, page{200, `{"access_token":""}`}, []string{"has no token"}},
		"a broken token":    {page{200, aMachine}, page{200, `{"access_token":"s3cret`}, []string{"cannot be understood"}},
		"a token of a list": {page{200, aMachine}, page{200, `{"access_token":["s3cret"]}`}, []string{"cannot be understood"}},
	} {
		t.Run(name, func(t *testing.T) {
			address, _ := metadata(t, tc.machine, tc.token)
			v := &recorder{}
			_, err := method(t, azure.Options{Metadata: address}).Login(t.Context(), client(t, v))
			if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "; ") {
				t.Fatalf("Login = %v, want an error with a remedy and without the answer", err)
			}
			for _, says := range tc.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("Login = %v, want %q", err, says)
				}
			}
			if v.path != "" {
				t.Errorf("asked Vault for all that: %s", v.path)
			}
		})
	}
}

// gone is the address of a server that has stopped.
func gone() string {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	return srv.URL
}

func TestNoMetadataService(t *testing.T) {
	_, err := method(t, azure.Options{Metadata: gone()}).Login(t.Context(), client(t, &recorder{}))
	if err == nil || !strings.Contains(err.Error(), "no answer from http://127.0.0.1") || !strings.HasSuffix(err.Error(), "or set authenticate_from_environment = true") {
		t.Errorf("Login = %v", err)
	}
}

func TestCancelledLogin(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reached := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(reached)
		<-r.Context().Done() // and never an answer
	}))
	defer srv.Close()
	go func() {
		<-reached
		cancel()
	}()
	_, err := method(t, azure.Options{Metadata: srv.URL}).Login(ctx, client(t, &recorder{}))
	if err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("Login = %v", err)
	}
}

func TestTwoIdentitiesAreRefused(t *testing.T) {
	_, err := azure.New("web", resource, azure.Options{ClientID: "c", ObjectID: "o"})
	if err == nil || !strings.HasSuffix(err.Error(), "; remove one of them") {
		t.Errorf("New = %v", err)
	}
}

func TestRemedy(t *testing.T) {
	m := method(t, azure.Options{})
	if got := m.Remedy(400); !strings.Contains(got, `role "web"`) || !strings.Contains(got, resource) {
		t.Error(got)
	}
	if got := m.Remedy(404); !strings.Contains(got, "mounted at auth/azure") {
		t.Error(got)
	}
}
