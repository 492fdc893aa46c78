package daemon_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"leasehold/internal/api"
	"leasehold/internal/config"
	"leasehold/internal/daemon"
	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

// probed is a daemon whose readyz is asked, before it is ready as well.
type probed struct {
	running
	log *logText
}

var listensAt = regexp.MustCompile(`msg=listening address=(127\.0\.0\.1:\d+)`)

// probe starts a daemon that stands in front of s until the test ends. It asks Vault how it is every second.
func probe(t *testing.T, s *vaulttest.Server, hcl string, token vault.Token) probed {
	t.Helper()
	cfg := parse(t, fmt.Sprintf("vault {\n  address = %q\n  health_check_interval = \"1s\"\n  retry { num_retries = -1 }\n}\n", s.URL)+hcl)
	cfg.APIProxy.UseAutoAuthToken = config.WhenAbsent
	ctx, stop := context.WithCancel(t.Context())
	p := probed{running{stop: stop, done: make(chan error, 1)}, &logText{}}
	go func() {
		p.done <- daemon.Run(ctx, cfg, daemon.Options{Token: token, Log: slog.New(slog.NewTextHandler(p.log, nil))})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-p.done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	eventually(t, "it listens", func() bool {
		at := listensAt.FindStringSubmatch(p.log.String())
		if at == nil {
			return false
		}
		p.url = "http://" + at[1]
		return true
	})
	return p
}

// eventually waits for what is real, so it polls.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !cond() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("still not: %s", what)
		}
	}
}

// ready asks readyz for one part, named by its name or the beginning of it; the status is that of the whole.
func (p probed) ready(t *testing.T, name, query string) (part api.PartState, status int) {
	t.Helper()
	status, _, body := p.do(t, http.MethodGet, "/proxy/v1/readyz"+query)
	var all api.Readiness
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatalf("readyz = %d %s", status, body)
	}
	for _, part := range all.Parts {
		if strings.HasPrefix(part.Name, name) {
			return part, status
		}
	}
	t.Fatalf("readyz says nothing of %s: %s", name, body)
	return part, status
}

// await waits until a part is in a state, for a reason of which says is a part, and checks what that means for it and for the whole. It is so since the
// change, and stays so: that is asked for in another second, which is as exact as readyz is.
func (p probed) await(t *testing.T, name, state, says string, status int, ready, degraded bool) api.PartState {
	t.Helper()
	var part api.PartState
	var got int
	eventually(t, name+" is "+state+": "+says, func() bool {
		part, got = p.ready(t, name, "")
		return part.State == state && strings.Contains(part.Reason, says) && got == status
	})
	if part.Ready != ready || part.Degraded != degraded || (part.Reason == "") != (says == "") {
		t.Errorf("%s: %+v", state, part)
	}
	eventually(t, "another second", func() bool { return time.Now().Truncate(time.Second).After(part.Since) })
	if again, _ := p.ready(t, name, ""); again.State == state && !again.Since.Equal(part.Since) {
		t.Errorf("%s is %s since %v, and then since %v", name, state, part.Since, again.Since)
	}
	return part
}

// then is await for a change: it cannot be so since earlier than what was before.
func (p probed) then(t *testing.T, before api.PartState, state, says string, status int, ready, degraded bool) api.PartState {
	t.Helper()
	now := p.await(t, before.Name, state, says, status, ready, degraded)
	if !now.Since.After(before.Since) {
		t.Errorf("%s is %s since %v, and was %s since %v", now.Name, state, now.Since, before.State, before.Since)
	}
	return now
}

var (
	isHealth = vaulttest.On(http.MethodGet, "/v1/sys/health")
	isLogin  = func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v1/auth/approle/login") }
)

// sealed has checks find a sealed Vault until it heals, and else a well one.
func sealed(s *vaulttest.Server, yes bool) {
	s.Heal()
	status := http.StatusOK
	if yes {
		status = http.StatusServiceUnavailable
	}
	s.Fail(isHealth, vaulttest.Answer(status, nil, "{}"))
}

const creds = "/v1/leaser/creds/app?ttl=3600"

// A probe that is under way when the stop begins is told of it. Later ones are refused, as all connections are.
func TestListenersAsAPart(t *testing.T) {
	bound := time.Now().Add(-time.Hour)
	if got, want := daemon.ListenersState(bound, nil), (api.PartState{Name: "listeners", Ready: true, State: "open", Since: bound}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	since := bound.Add(time.Minute)
	want := api.PartState{Name: "listeners", State: "closing", Since: since, Reason: "Leasehold was asked to stop; requests under way are finished"}
	if got := daemon.ListenersState(bound, &since); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Without anything to answer with, trouble of Vault fails; with an entry it degrades, which ?require=upstream takes for failing.
func TestUpstreamAsAPart(t *testing.T) {
	t.Parallel()
	s := vaulttest.NewServer(t)
	sealed(s, false)
	p := probe(t, s, listenerAndCache, vault.NewToken(vaulttest.RootToken))
	why := "Vault at " + s.URL + " is sealed"
	now := p.await(t, "upstream", "available", "", 200, true, false)
	sealed(s, true)
	now = p.then(t, now, "unavailable", why, 503, false, false)
	sealed(s, false)
	now = p.then(t, now, "available", "", 200, true, false)
	if _, cache, body := p.do(t, http.MethodGet, creds); cache != "MISS" {
		t.Fatal(cache, body)
	}
	sealed(s, true)
	now = p.then(t, now, "degraded", why, 200, true, true)
	if _, cache, _ := p.do(t, http.MethodGet, creds); cache != "HIT" {
		t.Errorf("ready, and what it has is a %s", cache)
	}
	if part, status := p.ready(t, "upstream", "?require=upstream"); status != 503 || part.Ready {
		t.Errorf("?require=upstream = %d, %+v", status, part)
	}
	if _, status := p.ready(t, "listeners", "?require=listeners,clock"); status != 200 {
		t.Errorf("?require=listeners,clock = %d", status)
	}
	if status, _, body := p.do(t, http.MethodGet, "/proxy/v1/livez"); status != 200 {
		t.Errorf("livez = %d %s", status, body)
	}
	sealed(s, false)
	p.then(t, now, "available", "", 200, true, false)
}

// A login is not ready before it has a token; a sink not before it has had one, and degraded when it cannot take the next.
func TestLoginAndSinkAsParts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sinks, role, secret := filepath.Join(dir, "sinks"), filepath.Join(dir, "role"), filepath.Join(dir, "secret")
	if err := errors.Join(os.Mkdir(sinks, 0o700), os.WriteFile(role, []byte("role"), 0o600), os.WriteFile(secret, []byte("secret"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := vaulttest.NewServer(t)
	s.Fail(isLogin, vaulttest.Answer(http.StatusBadRequest, nil, `{"errors":["invalid role or secret ID"]}`))
	p := probe(t, s, fmt.Sprintf(`
auto_auth {
  method "approle" {
    min_backoff = "100ms"
    max_backoff = "200ms"
    config = { role_id_file_path = %q, secret_id_file_path = %q, remove_secret_id_file_after_reading = false }
  }
  sink "file" { config = { path = %q } }
}
`, role, secret, filepath.Join(sinks, "token"))+strings.Replace(listenerAndCache, "enable_quit", "enable_reauth", 1), vault.Token{})
	var login api.PartState
	eventually(t, "the login has failed", func() bool {
		login, _ = p.ready(t, "auto_auth", "")
		return login.Failures > 0
	})
	if _, status := p.ready(t, "auto_auth", ""); status != 503 || login.Ready || !strings.Contains(login.Reason, "invalid role or secret ID") {
		t.Errorf("refused: %d %+v", status, login)
	}
	if _, status := p.ready(t, "listeners", "?require=listeners"); status != 200 {
		t.Errorf("?require=listeners = %d", status)
	}
	sink := p.await(t, "sink file "+sinks, "waiting for a token", "", 503, false, false)

	if err := os.Rename(sinks, sinks+"-away"); err != nil {
		t.Fatal(err)
	}
	s.Heal()
	p.await(t, "auto_auth", "held", "", 503, true, false) // the sink's reader has nothing yet
	lacking := p.await(t, sink.Name, "token not stored", sinks, 503, false, false)
	if err := os.Mkdir(sinks, 0o700); err != nil {
		t.Fatal(err)
	}
	sink = p.then(t, lacking, "token stored", "", 200, true, false)

	if err := os.RemoveAll(sinks); err != nil {
		t.Fatal(err)
	}
	if status, _, body := p.do(t, http.MethodPost, "/proxy/v1/reauth"); status/100 != 2 {
		t.Fatal(status, body)
	}
	sink = p.then(t, sink, "token not stored", sinks, 200, true, true)
	if part, status := p.ready(t, "sink", "?require=sinks"); status != 503 || part.Ready {
		t.Errorf("?require=sinks = %d, %+v", status, part)
	}
	if err := os.Mkdir(sinks, 0o700); err != nil {
		t.Fatal(err)
	}
	p.then(t, sink, "token stored", "", 200, true, false)
}

// A state file that another process holds is gone on without, which is told.
func TestStateFileAsAPart(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), vaulttest.NewServer(t)
	hcl := fmt.Sprintf("cache { persist \"file\" { path = %q key_file = %q } }\n", dir, filepath.Join(dir, "key")) + strings.Replace(listenerAndCache, "cache {}", "", 1)
	p := probe(t, s, hcl, vault.NewToken(vaulttest.RootToken))
	p.await(t, "state_file", "open", "", 200, true, false)
	second := probe(t, s, hcl, vault.NewToken(vaulttest.RootToken))
	second.await(t, "state_file", "not in use: the cache is in memory only", "another", 200, true, true)
	if part, status := second.ready(t, "state_file", "?require=state_file"); status != 503 || part.Ready {
		t.Errorf("?require=state_file = %d, %+v", status, part)
	}
}

// There are the parts that the configuration asks for, and no others.
func TestPartsOfAConfiguration(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ hcl, kinds string }{
		"with a cache":    {listenerAndCache, "listeners, upstream, clock"},
		"without a cache": {strings.Replace(listenerAndCache, "cache {}", "", 1), "listeners, upstream"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := probe(t, vaulttest.NewServer(t), c.hcl, vault.Token{})
			status, _, body := p.do(t, http.MethodGet, "/agent/v1/readyz?require=x")
			if want := `{"errors":["there is no part \"x\" to require; there are ` + c.kinds + `"]}`; status != http.StatusBadRequest || strings.TrimSpace(body) != want {
				t.Errorf("readyz = %d %s, want %s", status, body, want)
			}
		})
	}
}
