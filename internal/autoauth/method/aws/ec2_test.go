package aws_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"leasehold/internal/autoauth/method/aws"
)

// metadata is a stand-in for the instance metadata service, version 2 only: without a session token it knows nothing.
type metadata struct {
	mu       sync.Mutex
	files    map[string]string // path → content; missing: 404
	statuses map[string]int    // path → status instead of 200
}

func (s *metadata) set(path, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = content
}

func (s *metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/latest/api/token" {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
		_, _ = io.WriteString(w, "imds-session")
		return
	}
	content, ok := s.files[r.URL.Path]
	switch {
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "imds-session":
		w.WriteHeader(http.StatusUnauthorized)
	case s.statuses[r.URL.Path] != 0:
		w.WriteHeader(s.statuses[r.URL.Path])
		_, _ = io.WriteString(w, "s3cr3t words of the server")
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	default:
		_, _ = io.WriteString(w, content)
	}
}

// onEC2 makes the test believe it runs on an instance.
func onEC2(t *testing.T, files map[string]string) *metadata {
	t.Helper()
	nowhere(t)
	s := &metadata{files: files, statuses: map[string]int{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.URL)
	return s
}

const (
	documentPath  = "/latest/dynamic/instance-identity/document"
	signaturePath = "/latest/dynamic/instance-identity/signature"
	document      = "{\n  \"instanceId\" : \"i-0123456789abcdef0\",\n  \"region\" : \"us-east-1\"\n}"
)

func TestEC2SendsTheIdentityDocument(t *testing.T) {
	onEC2(t, map[string]string{documentPath: document, signaturePath: "bGluZTE\nbGluZTI=\n"})
	m, err := aws.NewEC2("dev", aws.EC2Options{Nonce: "nonce-1"})
	if err != nil {
		t.Fatal(err)
	}
	v := login(t, m)
	want, err := os.ReadFile("testdata/ec2.golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if v.path != "PUT /v1/auth/aws/login" || v.body != strings.TrimSpace(string(want)) {
		t.Errorf("sent %s %s, want %s", v.path, v.body, want)
	}
	if got := decode(t, v.fields(t)["identity"]); got != document {
		t.Errorf("the document arrives as %q", got)
	}
}

func TestTheNonceIsRandomAndKept(t *testing.T) {
	onEC2(t, map[string]string{documentPath: document, signaturePath: "c2ln"})
	var nonces [2][2]string
	for i := range nonces {
		m, err := aws.NewEC2("dev", aws.EC2Options{MountPath: "auth/ec2"})
		if err != nil {
			t.Fatal(err)
		}
		for j := range nonces[i] {
			v := login(t, m)
			nonces[i][j] = v.fields(t)["nonce"]
			if v.path != "PUT /v1/auth/ec2/login" {
				t.Errorf("sent %s", v.path)
			}
		}
	}
	if nonces[0][0] != nonces[0][1] || nonces[0][0] == nonces[1][0] {
		t.Errorf("the nonces are %v", nonces)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(nonces[0][0]) {
		t.Errorf("%s is no random UUID", nonces[0][0])
	}
}

func TestEC2SaysWhatTheMetadataLacks(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(*metadata)
		want  string
	}{
		"no document":        {func(s *metadata) { delete(s.files, documentPath) }, "status 404"},
		"no signature":       {func(s *metadata) { delete(s.files, signaturePath) }, "status 404"},
		"document refused":   {func(s *metadata) { s.statuses[documentPath] = http.StatusForbidden }, "status 403"},
		"empty document":     {func(s *metadata) { s.files[documentPath] = "" }, "is not JSON"},
		"a page":             {func(s *metadata) { s.files[documentPath] = "<html>sign in</html>" }, "is not JSON"},
		"empty signature":    {func(s *metadata) { s.files[signaturePath] = "\n" }, "is empty"},
		"endless document":   {func(s *metadata) { s.files[documentPath] = `"` + strings.Repeat("x", 2<<20) + `"` }, "too large"},
		"endless signatures": {func(s *metadata) { s.files[signaturePath] = strings.Repeat("x", 2<<20) }, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.spoil(onEC2(t, map[string]string{documentPath: document, signaturePath: "c2ln"}))
			m, err := aws.NewEC2("dev", aws.EC2Options{})
			if err != nil {
				t.Fatal(err)
			}
			v := &recorder{}
			_, err = m.Login(t.Context(), client(t, v))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasSuffix(err.Error(), "; check that this is one, and that its metadata service is on") {
				t.Errorf("Login = %v, want %q in it", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error repeats an answer: %v", err)
			}
			if v.path != "" {
				t.Errorf("sent %s for all that", v.path)
			}
		})
	}
}

func TestEC2NeedsARole(t *testing.T) {
	if _, err := aws.NewEC2("", aws.EC2Options{}); err == nil || !strings.Contains(err.Error(), "; set role") {
		t.Errorf("NewEC2 = %v", err)
	}
}

func TestEC2EndsWithItsContext(t *testing.T) {
	nowhere(t)
	hang, stop := make(chan struct{}, 9), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		hang <- struct{}{}
		<-stop
	}))
	t.Cleanup(func() { close(stop); server.Close() })
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.URL)
	m, err := aws.NewEC2("dev", aws.EC2Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-hang; cancel() }()
	if _, err := m.Login(ctx, client(t, &recorder{})); err == nil {
		t.Error("Login succeeded")
	}
	if ctx.Err() == nil {
		t.Error("Login gave up by itself")
	}
}
