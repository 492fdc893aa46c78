package gcp_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"leasehold/internal/autoauth/method/gcp"
)

const webAccount = "web@shop.iam.gserviceaccount.com"

// cloud stands in for the services of Google that IAM logins ask.
type cloud struct {
	t       *testing.T
	account issuer // of the service account's key file
	signer  issuer // of the JWTs that the IAM Credentials API signs
	address string

	tokens, signed func(w http.ResponseWriter) bool // say that they have answered otherwise
	asked          string                           // the path of the last signJwt
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{t: t, account: issuers()[0], signer: issuers()[1]}
	c.address = serve(t, c.serve)
	return c
}

func (c *cloud) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	const own = "/computeMetadata/v1/instance/service-accounts/default/"
	switch {
	case strings.HasPrefix(r.URL.Path, own) && r.Header.Get("Metadata-Flavor") != "Google":
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == own+"email":
		_, _ = io.WriteString(w, "vm@shop.iam.gserviceaccount.com\n")
	case r.URL.Path == "/token" || r.URL.Path == own+"token":
		if c.tokens != nil && c.tokens(w) {
			return
		}
		if assertion := formValue(string(body), "assertion"); assertion != "" {
			claims := c.account.verify(c.t, assertion)
			if claims["iss"] != webAccount || claims["scope"] != "https://www.googleapis.com/auth/cloud-platform" {
				c.t.Errorf("a token was asked for with %v", claims)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"ya29.hush","expires_in":3600,"token_type":"Bearer"}`)
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, ":signJwt"):
		c.asked = r.URL.Path
		if c.signed != nil && c.signed(w) {
			return
		}
		if r.Header.Get("Authorization") != "Bearer ya29.hush" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var request struct{ Payload string }
		if err := json.Unmarshal(body, &request); err != nil {
			c.t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"keyId": "1", "signedJwt": c.signer.sign(c.t, json.RawMessage(request.Payload))})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func formValue(form, key string) string {
	r := http.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: io.NopCloser(strings.NewReader(form))}
	return r.PostFormValue(key)
}

// keyFile is the JSON that Google gives out for a service account.
func (c *cloud) keyFile() string {
	c.t.Helper()
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": webAccount, "private_key": c.account.pem(c.t), "private_key_id": "1",
		"token_uri": c.address + "/token", "project_id": "shop",
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// userFile is what gcloud leaves for a person.
func (c *cloud) userFile() string {
	return `{"type":"authorized_user","client_id":"1","client_secret":"hush","refresh_token":"hush","token_uri":"` + c.address + `/token"}`
}

func (c *cloud) write(text string) (path string) {
	c.t.Helper()
	path = filepath.Join(c.t.TempDir(), "credentials.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// noCredentials is an environment where Google's libraries find none.
func noCredentials(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("APPDATA", home)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	return home
}

// redirect sends every request to the stand-in, whatever its host.
type redirect struct{ to string }

func (d redirect) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(d.to, "http://")
	r.Host = ""
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
}

func TestIAM(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for name, tc := range map[string]struct {
		opts    func(*cloud) gcp.Options
		setup   func(c *cloud, home string)
		account string
		life    time.Duration
	}{
		"JSON":                   {opts: func(c *cloud) gcp.Options { return gcp.Options{Credentials: "\n" + c.keyFile()} }},
		"a path":                 {opts: func(c *cloud) gcp.Options { return gcp.Options{Credentials: c.write(c.keyFile())} }},
		"a lifetime":             {opts: func(c *cloud) gcp.Options { return gcp.Options{Credentials: c.keyFile(), Lifetime: time.Minute} }, life: time.Minute},
		"default is no account":  {opts: func(c *cloud) gcp.Options { return gcp.Options{Credentials: c.keyFile(), ServiceAccount: "default"} }},
		"for another account":    {opts: func(c *cloud) gcp.Options { return gcp.Options{Credentials: c.keyFile(), ServiceAccount: "a@b.c"} }, account: "a@b.c"},
		"a person's for another": {opts: func(c *cloud) gcp.Options { return gcp.Options{Credentials: c.userFile(), ServiceAccount: "a@b.c"} }, account: "a@b.c"},
		"named by the environment": {setup: func(c *cloud, _ string) {
			c.t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", c.write(c.keyFile()))
		}},
		"left by gcloud": {setup: func(c *cloud, home string) {
			dir := filepath.Join(home, ".config", "gcloud")
			if runtime.GOOS == "windows" {
				dir = filepath.Join(home, "gcloud")
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				c.t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "application_default_credentials.json"), []byte(c.keyFile()), 0o600); err != nil {
				c.t.Fatal(err)
			}
		}},
		"the machine's": {account: "vm@shop.iam.gserviceaccount.com"},
	} {
		t.Run(name, func(t *testing.T) {
			home, c, v := noCredentials(t), newCloud(t), &recorder{}
			var o gcp.Options
			if tc.opts != nil {
				o = tc.opts(c)
			}
			if tc.setup != nil {
				tc.setup(c, home)
			}
			if tc.account == "" {
				tc.account = webAccount
			}
			if tc.life == 0 {
				tc.life = 15 * time.Minute
			}
			o.Metadata, o.IAM, o.Transport, o.Now = c.address, c.address, redirect{c.address}, func() time.Time { return now }
			if _, err := method(t, gcp.IAM, o).Login(t.Context(), client(t, v)); err != nil {
				t.Fatal(err)
			}
			if v.path != "PUT /v1/auth/gcp/login" || v.body["role"] != "web" || len(v.body) != 2 {
				t.Errorf("sent %s %v", v.path, v.body)
			}
			if c.asked != "/v1/projects/-/serviceAccounts/"+tc.account+":signJwt" {
				t.Errorf("asked %s", c.asked)
			}
			claims := c.signer.verify(t, v.body["jwt"])
			if claims["aud"] != "http://vault/web" || claims["sub"] != tc.account || claims["exp"] != float64(now.Add(tc.life).Unix()) || len(claims) != 3 {
				t.Errorf("signed for %v", claims)
			}
		})
	}
}

// answer is a fault of the stand-in.
func answer(status int, body string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

func TestIAMFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		credentials    func(*cloud) string
		tokens, signed func(http.ResponseWriter) bool
		says           []string
	}{
		"no such file":   {credentials: func(*cloud) string { return "/no/such/file" }, says: []string{"read Google's credentials", "write them to /no/such/file"}},
		"a directory":    {credentials: func(c *cloud) string { return c.t.TempDir() }, says: []string{"not a regular file"}},
		"no JSON":        {credentials: func(c *cloud) string { return c.write("hush") }, says: []string{"not JSON with a type", "credentials.json"}},
		"half a JSON":    {credentials: func(c *cloud) string { return c.keyFile()[:200] }, says: []string{"of the configuration are not JSON"}},
		"no type":        {credentials: func(*cloud) string { return `{"private_key":"hush"}` }, says: []string{"not JSON with a type"}},
		"an unheard-of":  {credentials: func(*cloud) string { return `{"type":"hearsay","private_key":"hush"}` }, says: []string{`of type "hearsay"`}},
		"no account":     {credentials: (*cloud).userFile, says: []string{"not those of a service account", "set service_account"}},
		"token refused":  {credentials: (*cloud).keyFile, tokens: answer(400, `{"error":"invalid_grant","error_description":"hush"}`), says: []string{"get an access token", "400 Bad Request"}},
		"token is none":  {credentials: (*cloud).keyFile, tokens: answer(200, `hush`), says: []string{"get an access token"}},
		"may not sign":   {credentials: (*cloud).keyFile, signed: answer(403, `{"error":{"message":"hush"}}`), says: []string{"403 Forbidden", "iam.serviceAccounts.signJwt"}},
		"cannot sign":    {credentials: (*cloud).keyFile, signed: answer(503, `hush`), says: []string{"503 Service Unavailable", "can reach"}},
		"signs no JWT":   {credentials: (*cloud).keyFile, signed: answer(200, `{"signedJwt":"hush"}`), says: []string{"no JWT"}},
		"signs nothing":  {credentials: (*cloud).keyFile, signed: answer(200, ``), says: []string{"no JWT"}},
		"signs elsehow":  {credentials: (*cloud).keyFile, signed: answer(200, `{"signedJwt":["hush"]}`), says: []string{"no JWT"}},
		"no credentials": {credentials: func(*cloud) string { return "" }, tokens: answer(404, "hush"), says: []string{"this machine, for want of others", "404", "GOOGLE_APPLICATION_CREDENTIALS"}},
	} {
		t.Run(name, func(t *testing.T) {
			noCredentials(t)
			c, v := newCloud(t), &recorder{}
			c.tokens, c.signed = tc.tokens, tc.signed
			o := gcp.Options{Credentials: tc.credentials(c), Metadata: c.address, IAM: c.address}
			_, err := method(t, gcp.IAM, o).Login(t.Context(), client(t, v))
			if err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "PRIVATE KEY") || !strings.Contains(err.Error(), "; ") {
				t.Fatalf("Login = %v, want a remedy and no secret", err)
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

func TestTheAccountOfAnImpersonation(t *testing.T) {
	noCredentials(t)
	c, v := newCloud(t), &recorder{}
	// A workload identity federation: the token of a file is exchanged, and the result impersonates an account.
	file := `{"type":"external_account","audience":"//iam.googleapis.com/x","subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"` + c.address + `/token",
		"service_account_impersonation_url":"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/fed@shop.iam.gserviceaccount.com:generateAccessToken",
		"credential_source":{"file":"` + c.write("subject") + `"}}`
	to := generateAccessToken{redirect{c.address}}
	if _, err := method(t, gcp.IAM, gcp.Options{Credentials: file, IAM: c.address, Transport: to}).Login(t.Context(), client(t, v)); err != nil {
		t.Fatal(err)
	}
	if claims := c.signer.verify(t, v.body["jwt"]); claims["sub"] != "fed@shop.iam.gserviceaccount.com" {
		t.Errorf("signed for %v", claims)
	}
}

// generateAccessToken answers the request of that name, and leaves the others to another.
type generateAccessToken struct{ http.RoundTripper }

func (g generateAccessToken) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, ":generateAccessToken") {
		return g.RoundTripper.RoundTrip(r)
	}
	body := `{"accessToken":"ya29.hush","expireTime":"2100-01-01T00:00:00Z"}`
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func TestCancelledIAM(t *testing.T) {
	noCredentials(t)
	for name, stall := range map[string]func(*cloud, context.CancelFunc){
		"at the token": func(c *cloud, cancel context.CancelFunc) {
			c.tokens = func(http.ResponseWriter) bool { cancel(); return false }
		},
		"at the JWT": func(c *cloud, cancel context.CancelFunc) {
			c.signed = func(http.ResponseWriter) bool { cancel(); return false }
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c, v := newCloud(t), &recorder{}
			stall(c, cancel)
			_, err := method(t, gcp.IAM, gcp.Options{Credentials: c.keyFile(), IAM: c.address}).Login(ctx, client(t, v))
			if err == nil || !strings.Contains(err.Error(), "context canceled") || v.path != "" {
				t.Errorf("Login = %v, and asked %q", err, v.path)
			}
		})
	}
}
