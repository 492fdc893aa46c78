package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// awsSTS stands in for AWS's token service: it knows some access keys, and says who asks only if the request is signed with the secret of one.
type awsSTS struct {
	secrets map[string]string // by access key

	mu    sync.Mutex
	asked []string // access keys of requests that were signed well
}

func (s *awsSTS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	key, err := s.verify(r, body)
	if err != nil {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>%s</Message></Error></ErrorResponse>", err)
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, key)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/xml")
	_, _ = fmt.Fprint(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>`+
		`<Arn>arn:aws:sts::123456789012:assumed-role/app/session</Arn><UserId>AROAEXAMPLE:session</UserId><Account>123456789012</Account>`+
		`</GetCallerIdentityResult></GetCallerIdentityResponse>`)
}

// verify computes the signature as AWS documents it (Signature Version 4).
func (s *awsSTS) verify(r *http.Request, body []byte) (key string, err error) {
	fields := map[string]string{}
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	for _, part := range strings.Split(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	if scheme != "AWS4-HMAC-SHA256" || len(scope) != 5 || string(body) != "Action=GetCallerIdentity&Version=2011-06-15" {
		return "", fmt.Errorf("not a signed GetCallerIdentity")
	}
	canonical := []string{r.Method, "/", ""}
	for _, name := range strings.Split(fields["SignedHeaders"], ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		canonical = append(canonical, name+":"+value)
	}
	canonical = append(canonical, "", fields["SignedHeaders"], digest(body))
	signed := strings.Join([]string{scheme, r.Header.Get("X-Amz-Date"), strings.Join(scope[1:], "/"), digest([]byte(strings.Join(canonical, "\n")))}, "\n")
	mac := []byte("AWS4" + s.secrets[scope[0]])
	for _, text := range append(scope[1:], signed) {
		h := hmac.New(sha256.New, mac)
		h.Write([]byte(text))
		mac = h.Sum(nil)
	}
	if s.secrets[scope[0]] == "" || hex.EncodeToString(mac) != fields["Signature"] {
		return "", fmt.Errorf("the signature is wrong")
	}
	return scope[0], nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (s *awsSTS) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) == 0 {
		return ""
	}
	return s.asked[len(s.asked)-1]
}

// The real aws method hands the request that Leasehold has signed to STS, and believes what that says.
func TestAWSLogin(t *testing.T) {
	sts := &awsSTS{secrets: map[string]string{"AKIAFIRST": "first-secret", "AKIASECOND": "second-secret"}}
	remember("first-secret", "second-secret")
	endpoint := httptest.NewServer(sts)
	t.Cleanup(endpoint.Close)
	mount := mountAuth(t, shared, "aws", map[string]map[string]any{
		"config/client": {"sts_endpoint": endpoint.URL, "sts_region": "us-east-1", "iam_server_id_header_value": "vault.test"},
		"role/app": {
			"auth_type": "iam", "bound_iam_principal_arn": "arn:aws:iam::123456789012:role/app", "resolve_aws_unique_ids": false,
			"token_policies": []string{newPolicy(t, shared, "leaser/creds/auto: read")},
		},
	})
	dir := t.TempDir()
	file, sink := filepath.Join(dir, "credentials"), filepath.Join(dir, "token")
	credentials := func(key, secret string) string {
		return "[default]\naws_access_key_id = " + key + "\naws_secret_access_key = " + secret + "\n"
	}
	writeFile(t, file, credentials("AKIAFIRST", "first-secret"), 0o600)
	aws := env("AWS_SHARED_CREDENTIALS_FILE="+file, "AWS_EC2_METADATA_DISABLED=true")
	stanza := func(header string) string {
		return vaultStanza(shared.Address) + withSink(methodStanza("aws", mount, `type = "iam"`, `role = "app"`,
			fmt.Sprintf("header_value = %q", header), `credential_poll_interval = "1s"`), sink) + injectToken + listenerStanza()
	}
	p := startProxy(t, stanza("vault.test"), aws)
	first := sunk(t, sink, "")
	tokenAt(t, shared, first, mount)
	if got := p.whoAmI(t); got != "auto" || sts.last() != "AKIAFIRST" {
		t.Errorf("the token is that of %q, got with %s", got, sts.last())
	}
	replaceFile(t, file, credentials("AKIASECOND", "second-secret"))
	tokenAt(t, shared, sunk(t, sink, first), mount)
	if got := sts.last(); got != "AKIASECOND" {
		t.Errorf("the new token was got with %s", got)
	}
	p.stop(t)

	p = launch(t, stanza("another.test"), aws)
	p.waitLog(t, "Vault refused the login at "+mount+"/login")
}
