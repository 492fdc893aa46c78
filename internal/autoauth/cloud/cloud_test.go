package cloud_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"leasehold/internal/autoauth/cloud"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSend(t *testing.T) {
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		body   string
		says   string // "" for a good answer
	}{
		"good":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("s3cret")) }, "s3cret", ""},
		"an error": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "s3cret", http.StatusForbidden) }, "", " is 403 Forbidden"},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://s3cret.test/", http.StatusFound)
		}, "",
			" is 302 Found"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("s3cret", 1<<18))) }, "", "longer than 1024 KiB"},
		"half": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("s3cret"))
		}, "", "half an answer from 127.0.0.1"},
		"none": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", "no answer from 127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(tc.answer)
			defer s.Close()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := cloud.Send(cloud.Straight(&http.Transport{DisableKeepAlives: true}), r)
			if string(body) != tc.body || (err == nil) != (tc.says == "") {
				t.Fatalf("Send = %.20q, %v", body, err)
			}
			if err == nil {
				return
			}
			if _, isURL := errors.AsType[*url.Error](err); isURL || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error = %v, want ...%s..., nothing of the answer, and no url.Error", err, tc.says)
			}
			if status, ok := errors.AsType[*cloud.StatusError](err); ok != strings.HasPrefix(tc.says, " is ") || ok && status.Status < 300 {
				t.Errorf("status: %+v", status)
			}
		})
	}
}

// No address of real metadata can be bound to in a test, so it is the choice that is tested.
func TestMetadataIsAskedWithoutAProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://proxy.example:3128")
	t.Setenv("NO_PROXY", "")
	for address, proxied := range map[string]bool{
		"http://169.254.169.254/latest/api/token": false,
		"http://169.254.170.2/v2/credentials":     false,
		"http://[fd00:ec2::254]/latest/":          false,
		"http://[fd00:ec2::23]/v1/credentials":    false,
		"http://sts.amazonaws.com/":               true,
	} {
		r, err := http.NewRequest(http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if u, err := cloud.Proxy(r); err != nil || (u != nil) != proxied {
			t.Errorf("the proxy for %s is %v, %v", address, u, err)
		}
	}
}

func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		asked, told := 0, 0
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute+time.Second)
		defer cancel()
		ask := func(context.Context) (int, error) {
			if asked++; asked >= 3 && asked <= 6 {
				return 0, errors.New("the metadata is away")
			}
			return asked, nil
		}
		cloud.Poll(ctx, time.Minute, slog.New(slog.NewTextHandler(&log, nil)), ask, func(n int) bool { return n == 2 || n >= 8 }, func() { told++ })
		if asked != 10 || told != 4 {
			t.Errorf("asked %d times, told %d times; want 10 and 4", asked, told)
		}
		if n := strings.Count(log.String(), "the metadata is away"); n != 1 {
			t.Errorf("said %d times that the metadata is away, want once:\n%s", n, &log)
		}
	})
}
