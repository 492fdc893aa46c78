package aws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/autoauth/method/aws"
)

// signedBy logs in and returns the access key and session token of the request, whose signature must be by secret.
func signedBy(t *testing.T, m *aws.IAM, secret string) string {
	t.Helper()
	_, header := signed(t, login(t, m).fields(t), secret, "us-east-1")
	key, _, _ := strings.Cut(strings.TrimPrefix(header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="), "/")
	return key + " " + header.Get("X-Amz-Security-Token")
}

// container serves credentials as ECS and EKS do.
func container(t *testing.T, h http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.URL+"/v1/credentials")
}

func role(id, secret, token string) string {
	b, err := json.Marshal(map[string]string{
		"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": id, "SecretAccessKey": secret, "Token": token,
		"LastUpdated": time.Now().UTC().Format(time.RFC3339), "Expiration": time.Now().Add(6 * time.Hour).UTC().Format(time.RFC3339),
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// webIdentity is a stand-in STS that grants a session to the bearer of the token, a new one each time, and counts them.
func webIdentity(t *testing.T, life time.Duration) *atomic.Int32 {
	t.Helper()
	var sessions atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		if r.ParseForm() != nil || r.Form.Get("Action") != "AssumeRoleWithWebIdentity" || r.Form.Get("WebIdentityToken") != "projected" ||
			r.Form.Get("RoleArn") != "arn:aws:iam::1:role/app" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>not %s</Message></Error></ErrorResponse>`, r.Form.Get("WebIdentityToken"))
			return
		}
		n := sessions.Add(1)
		_, _ = fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA%d</AccessKeyId>`+
			`<SecretAccessKey>web-secret</SecretAccessKey><SessionToken>web-token</SessionToken><Expiration>%s</Expiration></Credentials>`+
			`</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, n, time.Now().Add(life).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(server.Close)
	token := filepath.Join(t.TempDir(), "token")
	put(t, token, "projected")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token)
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/app")
	t.Setenv("AWS_ENDPOINT_URL_STS", server.URL)
	return &sessions
}

func TestCredentialsAreFoundInAWSPlaces(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare      func(t *testing.T)
		secret, want string
	}{
		"environment": {func(t *testing.T) {
			put(t, nowhere(t), profile("AKFILE", "file-secret", ""))
			t.Setenv("AWS_ACCESS_KEY_ID", "AKENV")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "env-secret")
			t.Setenv("AWS_SESSION_TOKEN", "env-token")
		}, "env-secret", "AKENV env-token"},
		"shared credentials file": {func(t *testing.T) {
			put(t, nowhere(t), profile("AKFILE", "file-secret", "file-token"))
		}, "file-secret", "AKFILE file-token"},
		"web identity": {func(t *testing.T) {
			nowhere(t)
			webIdentity(t, time.Hour)
		}, "web-secret", "ASIA1 web-token"},
		"container": {func(t *testing.T) {
			nowhere(t)
			container(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, role("AKECS", "ecs-secret", "ecs-token"))
			})
		}, "ecs-secret", "AKECS ecs-token"},
		"instance": {func(t *testing.T) {
			const path = "/latest/meta-data/iam/security-credentials/"
			onEC2(t, map[string]string{path: "app\n", path + "app": role("AKEC2", "ec2-secret", "ec2-token")})
		}, "ec2-secret", "AKEC2 ec2-token"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.prepare(t)
			if got := signedBy(t, open(t, aws.IAMOptions{}), tc.secret); got != tc.want {
				t.Errorf("signed by %s, want %s", got, tc.want)
			}
		})
	}
}

func TestARotatedFileIsNoticedAndUsed(t *testing.T) {
	file := nowhere(t)
	put(t, file, profile("AK1", "secret-1", "token-1"))
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := open(t, aws.IAMOptions{PollInterval: time.Minute})
		var notices int
		done := make(chan struct{})
		expect := func(what string, want int) {
			t.Helper()
			time.Sleep(time.Minute)
			synctest.Wait()
			if notices != want {
				t.Errorf("%s: %d notices, want %d", what, notices, want)
			}
		}
		signedBy(t, m, "secret-1")
		go func() { m.Watch(ctx, func() { notices++ }); close(done) }()
		time.Sleep(time.Second) // the minutes of Watch end before those of expect
		expect("the same file", 0)
		put(t, file, "[default]\naws_access_key_id = AK2\n")
		expect("a file that is half written", 0)
		if got := signedBy(t, m, "secret-1"); got != "AK1 token-1" {
			t.Errorf("with a file half written, signed by %s", got)
		}
		put(t, file, profile("AK1", "secret-1", "token-2"))
		expect("another token", 1)
		put(t, file, profile("AK2", "secret-2", "token-2"))
		expect("no login since", 2)
		if got := signedBy(t, m, "secret-2"); got != "AK2 token-2" {
			t.Errorf("after the rotation, signed by %s", got)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		expect("the file is gone", 2)
		cancel()
		<-done
	})
}

// watch runs Watch at short intervals and returns its notices.
func watch(t *testing.T, m *aws.IAM) <-chan struct{} {
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

func noticed(t *testing.T, notices <-chan struct{}) {
	t.Helper()
	select {
	case <-notices:
	case <-time.After(time.Minute):
		t.Fatal("no notice of the new credentials")
	}
}

func TestARotatedRoleIsNoticed(t *testing.T) {
	const path = "/latest/meta-data/iam/security-credentials/"
	s := onEC2(t, map[string]string{path: "app", path + "app": role("AK1", "secret-1", "token-1")})
	m := open(t, aws.IAMOptions{PollInterval: 10 * time.Millisecond})
	signedBy(t, m, "secret-1")
	notices := watch(t, m)
	s.set(path+"app", role("AK2", "secret-2", "token-2"))
	noticed(t, notices)
	if got := signedBy(t, m, "secret-2"); got != "AK2 token-2" {
		t.Errorf("signed by %s", got)
	}
}

// A session of STS is good for an hour; asking for another each minute would look like a rotation each minute.
func TestSessionsAreKeptUntilTheyExpire(t *testing.T) {
	nowhere(t)
	sessions := webIdentity(t, time.Hour)
	m := open(t, aws.IAMOptions{})
	signedBy(t, m, "web-secret")
	if got := signedBy(t, m, "web-secret"); got != "ASIA1 web-token" || sessions.Load() != 1 {
		t.Errorf("signed by %s, after %d sessions", got, sessions.Load())
	}
}

func TestAnExpiredSessionIsReplacedAndNoticed(t *testing.T) {
	nowhere(t)
	webIdentity(t, -time.Second)
	m := open(t, aws.IAMOptions{PollInterval: 10 * time.Millisecond})
	signedBy(t, m, "web-secret")
	noticed(t, watch(t, m))
}

func TestMetadataThatIsAwayCostsNothingYet(t *testing.T) {
	nowhere(t)
	var away atomic.Bool
	container(t, func(w http.ResponseWriter, _ *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, role("AK1", "secret-1", "token-1"))
	})
	m := open(t, aws.IAMOptions{})
	away.Store(true)
	if got := signedBy(t, m, "secret-1"); got != "AK1 token-1" {
		t.Errorf("signed by %s", got)
	}
}

func TestErrorsDoNotRepeatAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(t *testing.T)
		want    string
	}{
		"container": {func(t *testing.T) {
			container(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "s3cr3t", http.StatusForbidden) })
		}, "was answered with"},
		"container, as JSON": {func(t *testing.T) {
			container(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, `{"code":"AccessDenied","message":"s3cr3t"}`)
			})
		}, "answered with AccessDenied"},
		"no credentials in it": {func(t *testing.T) {
			container(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "s3cr3t") })
		}, "invalid character"},
		"process": {func(t *testing.T) {
			put(t, os.Getenv("AWS_CONFIG_FILE"), "[default]\ncredential_process = echo s3cr3t\n")
		}, "credential_process"},
		"web identity": {func(t *testing.T) {
			webIdentity(t, time.Hour)
			put(t, os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), "s3cr3t")
		}, "STS AssumeRoleWithWebIdentity was answered with InvalidIdentityToken"},
		"instance": {func(t *testing.T) {
			s := onEC2(t, map[string]string{})
			s.statuses["/latest/meta-data/iam/security-credentials/"] = http.StatusForbidden
		}, "status 403"},
	} {
		t.Run(name, func(t *testing.T) {
			nowhere(t)
			t.Setenv("AWS_MAX_ATTEMPTS", "1") // the SDK's pauses between attempts are not of interest
			tc.prepare(t)
			_, err := aws.OpenIAM(t.Context(), "dev", quiet, aws.IAMOptions{})
			if err == nil || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("OpenIAM = %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestAFailingWatchSaysSoOnce(t *testing.T) {
	nowhere(t)
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	var asked atomic.Int32
	container(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) > 2 {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, strings.Replace(role("AK1", "secret-1", "token-1"), `"Expiration":"20`, `"Expiration":"19`, 1))
	})
	var log bytes.Buffer
	m, err := aws.OpenIAM(t.Context(), "dev", slog.New(slog.NewTextHandler(&log, nil)), aws.IAMOptions{PollInterval: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	login(t, m)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { m.Watch(ctx, func() { t.Error("changed") }); close(done) }()
	deadline := time.After(time.Minute)
	for tick := time.Tick(time.Millisecond); asked.Load() < 12; {
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("asked %d times only", asked.Load())
		}
	}
	cancel()
	<-done
	if n := strings.Count(log.String(), "cannot look for new credentials"); n != 1 {
		t.Errorf("said %d times: %s", n, &log)
	}
}

func TestCredentialsAreLeftWithTheContext(t *testing.T) {
	nowhere(t)
	hang, stop := make(chan struct{}, 9), make(chan struct{})
	container(t, func(http.ResponseWriter, *http.Request) {
		hang <- struct{}{}
		<-stop
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-hang; cancel() }()
	_, err := aws.OpenIAM(ctx, "dev", quiet, aws.IAMOptions{})
	if err == nil || ctx.Err() == nil {
		t.Errorf("OpenIAM = %v, and the context: %v", err, ctx.Err())
	}
	if len(hang) > 0 {
		t.Errorf("asked %d times more after that", len(hang))
	}
	close(stop)
}
