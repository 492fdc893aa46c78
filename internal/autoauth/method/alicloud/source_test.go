package alicloud_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"leasehold/internal/autoauth/method/alicloud"
)

const rolePath = "/latest/meta-data/ram/security-credentials/"

// metadata is a stand-in for the instance metadata of ECS. When hardened, it knows nothing without a session token, else it has none to give.
type metadata struct {
	hardened bool

	mu       sync.Mutex
	files    map[string]string // path → content; missing: 404
	statuses map[string]int    // path → status instead of 200
	asked    int
}

func (s *metadata) change(f func(*metadata)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	content, ok := s.files[r.URL.Path]
	switch {
	case r.URL.Path == "/latest/api/token" && s.hardened && r.Method == http.MethodPut && r.Header.Get("X-Aliyun-Ecs-Metadata-Token-Ttl-Seconds") != "":
		_, _ = io.WriteString(w, "session\n")
	case s.hardened && r.Header.Get("X-Aliyun-Ecs-Metadata-Token") != "session":
		w.WriteHeader(http.StatusForbidden)
	case s.statuses[r.URL.Path] != 0:
		w.WriteHeader(s.statuses[r.URL.Path])
		_, _ = io.WriteString(w, "s3cr3t words of the server")
	case !ok || r.Method != http.MethodGet:
		w.WriteHeader(http.StatusNotFound)
	default:
		_, _ = io.WriteString(w, content)
	}
}

func session(id, secret, token string, life time.Duration) string {
	return fmt.Sprintf(`{"Code":"Success","AccessKeyId":%q,"AccessKeySecret":%q,"SecurityToken":%q,"LastUpdated":"2020-01-01T00:00:00Z","Expiration":%q}`,
		id, secret, token, time.Now().Add(life).UTC().Format("2006-01-02T15:04:05Z"))
}

func onECS(t *testing.T, s *metadata) alicloud.Options {
	t.Helper()
	nowhere(t)
	if s.statuses == nil {
		s.statuses = map[string]int{}
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return alicloud.Options{MetadataURL: server.URL, STSURL: dead, PollInterval: 10 * time.Millisecond}
}

// sts is a stand-in that grants numbered sessions to requests that check finds right.
func sts(t *testing.T, life time.Duration, check func(r *http.Request) error) alicloud.Options {
	t.Helper()
	nowhere(t)
	n := 0
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if err := check(r); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"Code":"SignatureDoesNotMatch","Message":"%v, string to sign: s3cr3t"}`, err)
			return
		}
		n++
		until := time.Now().Add(life).UTC().Format("2006-01-02T15:04:05Z")
		if r.URL.Query().Get("Action") == "GenerateSessionAccessKey" {
			_, _ = fmt.Fprintf(w, `{"SessionAccessKey":{"SessionAccessKeyId":"TMPSK.%d","SessionAccessKeySecret":"pair-secret","Expiration":%q}}`, n, until)
			return
		}
		_, _ = fmt.Fprintf(w, `{"AssumedRoleUser":{"Arn":"acs"},"Credentials":{"AccessKeyId":"STS.%d","AccessKeySecret":"sts-secret","SecurityToken":"sts-token","Expiration":%q}}`, n, until)
	}))
	t.Cleanup(server.Close)
	return alicloud.Options{MetadataURL: dead, STSURL: server.URL, PollInterval: 10 * time.Millisecond}
}

func assumes(sessionName, duration string) func(*http.Request) error {
	return func(r *http.Request) error {
		q := r.URL.Query()
		if r.Method != http.MethodPost || !correct(q, "s3cr3t") || q.Get("AccessKeyId") != "LTAI1" || q.Get("Action") != "AssumeRole" || q.Get("Version") != "2015-04-01" ||
			q.Get("RoleArn") != "acs:ram::1:role/app" || q.Get("RoleSessionName") != sessionName || q.Get("DurationSeconds") != duration {
			return fmt.Errorf("%s %v", r.Method, q)
		}
		return nil
	}
}

var assumer = alicloud.Credentials{AccessKey: "LTAI1", AccessSecret: "s3cr3t", RoleARN: "acs:ram::1:role/app"}

func TestCredentialsAreFoundInTheirOrder(t *testing.T) {
	ecs := func() *metadata {
		return &metadata{hardened: true, files: map[string]string{
			rolePath: "app\n", rolePath + "app": session("STS.ECS", "ecs-secret", "ecs-token", time.Hour), rolePath + "other": session("STS.OTHER", "other-secret", "other-token", time.Hour),
		}}
	}
	for name, tc := range map[string]struct {
		prepare      func(t *testing.T) alicloud.Options
		secret, want string
	}{
		"environment before keys": {func(t *testing.T) alicloud.Options {
			nowhere(t)
			t.Setenv("ALICLOUD_ACCESS_KEY", "LTAIENV")
			t.Setenv("ALICLOUD_SECRET_KEY", "env-secret")
			t.Setenv("ALICLOUD_ACCESS_KEY_STS_TOKEN", "env-token")
			return keys()
		}, "env-secret", "LTAIENV env-token"},
		"environment of newer libraries": {func(t *testing.T) alicloud.Options {
			nowhere(t)
			t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAINEW")
			t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "new-secret")
			t.Setenv("ALIBABA_CLOUD_SECURITY_TOKEN", "new-token")
			return keys()
		}, "new-secret", "LTAINEW new-token"},
		"keys before metadata": {func(t *testing.T) alicloud.Options {
			o := onECS(t, ecs())
			o.Credentials = keys().Credentials
			return o
		}, "s3cr3t+/=", "LTAI 1*~ "},
		"metadata": {func(t *testing.T) alicloud.Options { return onECS(t, ecs()) }, "ecs-secret", "STS.ECS ecs-token"},
		"metadata, version 1": {func(t *testing.T) alicloud.Options {
			s := ecs()
			s.hardened = false
			return onECS(t, s)
		}, "ecs-secret", "STS.ECS ecs-token"},
		"named role": {func(t *testing.T) alicloud.Options {
			o := onECS(t, ecs())
			o.Credentials.RoleName = "other"
			return o
		}, "other-secret", "STS.OTHER other-token"},
		"assumed role": {func(t *testing.T) alicloud.Options {
			o := sts(t, time.Hour, assumes("leasehold", "3600"))
			o.Credentials = assumer
			return o
		}, "sts-secret", "STS.1 sts-token"},
		"assumed role of the environment": {func(t *testing.T) alicloud.Options {
			o := sts(t, time.Hour, assumes("me", "900"))
			t.Setenv("ALICLOUD_ACCESS_KEY", "LTAI1")
			t.Setenv("ALICLOUD_SECRET_KEY", "s3cr3t")
			t.Setenv("ALICLOUD_ROLE_ARN", "acs:ram::1:role/app")
			t.Setenv("ALICLOUD_ROLE_SESSION_NAME", "me")
			t.Setenv("ALICLOUD_ROLE_SESSION_EXPIRATION", "900")
			return o
		}, "sts-secret", "STS.1 sts-token"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := signedBy(t, open(t, tc.prepare(t)), tc.secret); got != tc.want {
				t.Errorf("signed by %s, want %s", got, tc.want)
			}
		})
	}
}

func TestAKeyPairIsExchangedForASession(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"PEM":    string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"base64": base64.StdEncoding.EncodeToString(der) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			o := sts(t, time.Hour, func(r *http.Request) error {
				q := r.URL.Query()
				signature, err := base64.StdEncoding.DecodeString(q.Get("Signature"))
				if err != nil {
					return err
				}
				if q.Get("PublicKeyId") != "pub-1" || q.Get("AccessKeyId") != "pub-1" || q.Get("SignatureType") != "PRIVATEKEY" || q.Get("DurationSeconds") != "1800" {
					return fmt.Errorf("%v", q)
				}
				hash := sha256.Sum256([]byte(toSign(q)))
				return rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, hash[:], signature)
			})
			o.Credentials = alicloud.Credentials{PublicKeyID: "pub-1", PrivateKey: text, SessionExpiration: 30 * time.Minute}
			if got := signedBy(t, open(t, o), "pair-secret"); got != "TMPSK.1 " {
				t.Errorf("signed by %s", got)
			}
		})
	}
}

func TestSessionsAreKeptUntilTheyExpire(t *testing.T) {
	for name, tc := range map[string]struct {
		life time.Duration
		want string
	}{
		"fresh":           {time.Hour, "STS.1 sts-token"},
		"about to expire": {time.Minute, "STS.3 sts-token"}, // Open, and two logins
	} {
		t.Run(name, func(t *testing.T) {
			o := sts(t, tc.life, assumes("leasehold", "3600"))
			o.Credentials = assumer
			m := open(t, o)
			signedBy(t, m, "sts-secret")
			if got := signedBy(t, m, "sts-secret"); got != tc.want {
				t.Errorf("signed by %s, want %s", got, tc.want)
			}
		})
	}
}

// watch runs Watch and returns its notices.
func watch(t *testing.T, m *alicloud.Method) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	notices, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(done)
		m.Watch(ctx, func() {
			select {
			case notices <- struct{}{}:
			default:
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return notices
}

func TestARotatedRoleIsNoticedAndUsed(t *testing.T) {
	s := &metadata{hardened: true, files: map[string]string{rolePath: "app", rolePath + "app": session("STS.1", "secret-1", "token-1", time.Hour)}}
	m := open(t, onECS(t, s))
	signedBy(t, m, "secret-1")
	notices := watch(t, m)
	s.change(func(s *metadata) { s.files[rolePath+"app"] = session("STS.2", "secret-2", "token-2", time.Hour) })
	select {
	case <-notices:
	case <-time.After(time.Minute):
		t.Fatal("no notice of the new keys")
	}
	if got := signedBy(t, m, "secret-2"); got != "STS.2 token-2" {
		t.Errorf("signed by %s", got)
	}
}

// polls waits until the metadata was asked n times more.
func polls(t *testing.T, s *metadata, n int) {
	t.Helper()
	count := func() (asked int) {
		s.change(func(s *metadata) { asked = s.asked })
		return asked
	}
	until, deadline := count()+n, time.After(time.Minute)
	for tick := time.Tick(time.Millisecond); count() < until; {
		select {
		case <-tick:
		case <-deadline:
			t.Fatal("the metadata is not asked")
		}
	}
}

func TestUnchangedOrMissingKeysAreNoChange(t *testing.T) {
	s := &metadata{files: map[string]string{rolePath: "app", rolePath + "app": session("STS.1", "secret-1", "token-1", time.Hour)}}
	m := open(t, onECS(t, s))
	signedBy(t, m, "secret-1")
	notices := watch(t, m)
	polls(t, s, 12)
	s.change(func(s *metadata) { s.files[rolePath+"app"] = `{"Code":"Success","AccessKeyId":"STS` })
	polls(t, s, 12)
	if got := signedBy(t, m, "secret-1"); got != "STS.1 token-1" {
		t.Errorf("while the metadata is broken, signed by %s", got)
	}
	select {
	case <-notices:
		t.Error("a notice, although there are no other keys")
	default:
	}
}

func TestAFailingWatchSaysSoOnce(t *testing.T) {
	s := &metadata{files: map[string]string{rolePath: "app", rolePath + "app": session("STS.1", "secret-1", "token-1", -time.Hour)}}
	var log bytes.Buffer
	m, err := alicloud.Open(t.Context(), "dev", "eu-central-1", slog.New(slog.NewTextHandler(&log, nil)), onECS(t, s))
	if err != nil {
		t.Fatal(err)
	}
	s.change(func(s *metadata) { s.statuses[rolePath] = http.StatusInternalServerError })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { m.Watch(ctx, func() { t.Error("changed") }); close(done) }()
	polls(t, s, 12)
	cancel()
	<-done
	if n := strings.Count(log.String(), "cannot look for new credentials"); n != 1 || strings.Contains(log.String(), "s3cr3t") {
		t.Errorf("said %d times: %s", n, &log)
	}
}

func TestErrorsSayWhatIsWrongAndNoMore(t *testing.T) {
	ecs := func(spoil func(*metadata)) func(t *testing.T) alicloud.Options {
		return func(t *testing.T) alicloud.Options {
			s := &metadata{files: map[string]string{rolePath: "app", rolePath + "app": session("STS.1", "s3cr3t", "s3cr3t", time.Hour)}, statuses: map[string]int{}}
			spoil(s)
			return onECS(t, s)
		}
	}
	for name, tc := range map[string]struct {
		prepare func(t *testing.T) alicloud.Options
		want    string
	}{
		"nobody there": {func(t *testing.T) alicloud.Options { nowhere(t); return alicloud.Options{MetadataURL: dead} }, "connection refused"},
		"no role":      {ecs(func(s *metadata) { delete(s.files, rolePath) }), "which RAM role has this instance: the instance metadata answers with status 404"},
		"empty role":   {ecs(func(s *metadata) { s.files[rolePath] = "\n" }), "names no RAM role"},
		"a page":       {ecs(func(s *metadata) { s.files[rolePath] = "<html>\ns3cr3t</html>" }), "names no RAM role"},
		"keys refused": {ecs(func(s *metadata) { s.statuses[rolePath+"app"] = 500 }), `the keys of the RAM role "app": the instance metadata answers with status 500`},
		"no JSON":      {ecs(func(s *metadata) { s.files[rolePath+"app"] = "s3cr3t" }), "no JSON"},
		"no success":   {ecs(func(s *metadata) { s.files[rolePath+"app"] = `{"Code":"Failed"}` }), `code "Failed"`},
		"no keys":      {ecs(func(s *metadata) { s.files[rolePath+"app"] = `{"Code":"Success"}` }), "the answer has no keys"},
		"half the keys": {ecs(func(s *metadata) {
			s.files[rolePath+"app"] = `{"Code":"Success","AccessKeyId":"i","AccessKeySecret":"s3cr3t"}`
		}), "the answer has no keys"},
		"endless answer": {ecs(func(s *metadata) { s.files[rolePath] = strings.Repeat("x", 2<<20) }), "too large"},
		"session refused": {func(t *testing.T) alicloud.Options {
			o := sts(t, time.Hour, func(*http.Request) error { return io.EOF })
			o.Credentials = assumer
			return o
		}, `assume the role: STS answers "SignatureDoesNotMatch"`},
		"STS away": {func(t *testing.T) alicloud.Options {
			nowhere(t)
			return alicloud.Options{STSURL: dead, Credentials: assumer}
		}, "assume the role: ask 127.0.0.1:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := alicloud.Open(t.Context(), "dev", "eu-central-1", quiet, tc.prepare(t))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "LTAI1") {
				t.Errorf("Open = %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestTheMetadataIsLeftWithTheContext(t *testing.T) {
	nowhere(t)
	hang, stop := make(chan struct{}, 9), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		hang <- struct{}{}
		<-stop
	}))
	t.Cleanup(func() { close(stop); server.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-hang; cancel() }()
	if _, err := alicloud.Open(ctx, "dev", "eu-central-1", quiet, alicloud.Options{MetadataURL: server.URL}); err == nil || ctx.Err() == nil {
		t.Errorf("Open = %v, and the context: %v", err, ctx.Err())
	}
}
