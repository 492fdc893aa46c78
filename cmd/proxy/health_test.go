package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"leasehold/internal/api"
)

const (
	wellBody     = `{"ready":true,"parts":[{"name":"upstream","ready":true,"state":"available","since":"2026-01-02T03:04:05Z"}]}`
	degradedBody = `{"ready":true,"parts":[{"name":"upstream","ready":true,"degraded":true,"state":"degraded","reason":"Vault is \u001b[1maway","since":"2026-01-02T03:04:05Z"}]}`
	badBody      = `{"ready":false,"parts":[{"name":"auto_auth","ready":false,"state":"logging in","reason":"refused","since":"2026-01-02T03:04:05Z"},` +
		`{"name":"upstream","ready":true,"degraded":true,"state":"degraded","reason":"why","since":"2026-01-02T03:04:05Z"},{"name":"clock","ready":false,"state":"not running","since":"2026-01-02T03:04:05Z"}]}`
	unknownBody = `{"errors":["there is no part \"x\" to require; there are listeners, clock"]}`
	bad         = "not ready: auto_auth is logging in: refused; clock is not running"
)

// reply is an answer of a scripted Leasehold.
type reply struct {
	status int
	body   string
}

// scripted answers with each reply in turn, and with the last for ever. asked is what it was asked last.
func scripted(replies ...reply) (h http.Handler, asked *atomic.Value) {
	var n atomic.Int64
	asked = &atomic.Value{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.RequestURI())
		now := replies[min(int(n.Add(1)), len(replies))-1]
		w.WriteHeader(now.status)
		_, _ = w.Write([]byte(now.body))
	}), asked
}

// silent answers nothing until the client leaves.
var silent = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })

func serving(t *testing.T, h http.Handler) (address string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// indented is what -json prints of a body.
func indented(t *testing.T, v any) string {
	t.Helper()
	var out bytes.Buffer
	if err := printJSON(&out, v); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestHealthcheck(t *testing.T) {
	for name, c := range map[string]struct {
		args     string
		answer   reply
		asked    string
		code     int
		out, err string // err as a part; "" means that nothing is said
	}{
		"ready":          {"", reply{200, wellBody}, "/proxy/v1/readyz?", exitOK, "ready\n", ""},
		"degraded":       {"", reply{200, degradedBody}, "/proxy/v1/readyz?", exitOK, "ready, and degraded: upstream is degraded: Vault is \ufffd[1maway\n", ""},
		"not ready":      {"", reply{503, badBody}, "/proxy/v1/readyz?", exitFailure, bad + "\n", ""},
		"some parts":     {"-require=a,b -require=c", reply{200, wellBody}, "/proxy/v1/readyz?require=a%2Cb%2Cc", exitOK, "ready\n", ""},
		"unknown part":   {"-require=x", reply{400, unknownBody}, "/proxy/v1/readyz?require=x", exitFailure, "", "leasehold: Leasehold answered 400: there is no part \"x\" to require; there are listeners, clock\n"},
		"denied":         {"", reply{403, `{"errors":["rule 3 denies this"]}`}, "/proxy/v1/readyz?", exitFailure, "", "answered 403: rule 3 denies this"},
		"not Leasehold":  {"", reply{200, "<html>"}, "/proxy/v1/readyz?", exitFailure, "", "not Leasehold's; check the address"},
		"alive":          {"-live", reply{200, `{"alive":true}`}, "/proxy/v1/livez", exitOK, "alive\n", ""},
		"not alive":      {"-live", reply{503, `{"alive":false,"reason":"it hangs"}`}, "/proxy/v1/livez", exitFailure, "not alive: it hangs\n", ""},
		"live and parts": {"-live -require=x", reply{200, wellBody}, "", exitFailure, "", "-live is about the process, and -require about its parts; give one of them"},
		"no patience":    {"-timeout=0s", reply{200, wellBody}, "", exitFailure, "", "-timeout has to be more than 0"},
		"an argument":    {"upstream", reply{200, wellBody}, "", exitFailure, "", "usage: leasehold healthcheck"},
		"a wrong flag":   {"-lives", reply{200, wellBody}, "", exitFailure, "", "-lives"},
	} {
		t.Run(name, func(t *testing.T) {
			h, asked := scripted(c.answer)
			var out, errs bytes.Buffer
			args := append([]string{"healthcheck", "-address=" + serving(t, h)}, strings.Fields(c.args)...)
			code := run(t.Context(), args, &out, &errs)
			if code != c.code || out.String() != c.out || !strings.Contains(errs.String(), c.err) || c.err == "" && errs.Len() > 0 {
				t.Errorf("ended with %d, %q and %q\nwant %d, %q and %q", code, out.String(), errs.String(), c.code, c.out, c.err)
			}
			if got, _ := asked.Load().(string); got != c.asked {
				t.Errorf("asked for %q, want %q", got, c.asked)
			}
		})
	}
}

func TestHealthcheckPrintsJSON(t *testing.T) {
	for name, c := range map[string]struct {
		args   string
		answer reply
		code   int
		want   string // stands in it
	}{
		"ready":     {"-json", reply{200, wellBody}, exitOK, `"ready": true,`},
		"not ready": {"-json", reply{503, badBody}, exitFailure, `"reason": "refused",`},
		"not alive": {"-json -live", reply{503, `{"alive":false,"reason":"it hangs"}`}, exitFailure, `"reason": "it hangs",`},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := scripted(c.answer)
			var out, errs bytes.Buffer
			code := run(t.Context(), append([]string{"healthcheck", "-address=" + serving(t, h)}, strings.Fields(c.args)...), &out, &errs)
			if code != c.code || errs.Len() > 0 || !strings.HasPrefix(out.String(), "{\n") || !strings.Contains(out.String(), c.want) {
				t.Errorf("ended with %d, %q and %q", code, out.String(), errs.String())
			}
		})
	}
}

// Neither command waits longer than it was told for one that does not answer, or is not there.
func TestHealthOfNobody(t *testing.T) {
	nobody := "unix://" + filepath.Join(t.TempDir(), "s")
	for name, c := range map[string]struct {
		args []string
		err  string
	}{
		"healthcheck of one that hangs": {[]string{"healthcheck", "-timeout=10ms", "-address=" + serving(t, silent)}, "does not answer: "},
		"healthcheck of none":           {[]string{"healthcheck", "-address=" + nobody}, "leasehold: Leasehold at " + nobody + " does not answer: "},
		"wait for one that hangs":       {[]string{"wait", "-timeout=10ms", "-address=" + serving(t, silent)}, "leasehold: gave up after 10ms: there was no answer\n"},
		"wait for none":                 {[]string{"wait", "-timeout=10ms", "-address=" + nobody}, "leasehold: gave up after 10ms: "},
		"wait for none with JSON":       {[]string{"wait", "-json", "-timeout=10ms", "-address=" + nobody}, "leasehold: gave up after 10ms: "},
		"wait for a wrong address":      {[]string{"wait", "-address=127.0.0.1:1"}, "write http://HOST:PORT"},
		"wait with no patience":         {[]string{"wait", "-timeout=-1s", "-address=" + nobody}, "-timeout has to be more than 0"},
		"wait with an argument":         {[]string{"wait", "5s"}, "usage: leasehold wait"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run(t.Context(), c.args, &out, &errs); code != exitFailure || out.Len() > 0 || !strings.Contains(errs.String(), c.err) {
				t.Errorf("ended with %d, %q and %q; want %q", code, out.String(), errs.String(), c.err)
			}
		})
	}
}

func TestWait(t *testing.T) {
	notYet := reply{503, `{"ready":false,"parts":[{"name":"upstream","state":"unavailable"}]}`}
	const told = "waiting: not ready: upstream is unavailable\n"
	for name, c := range map[string]struct {
		args     string
		script   []reply
		code     int
		out, err string
	}{
		"ready at once":     {"", []reply{{200, wellBody}}, exitOK, "ready\n", ""},
		"ready in the end":  {"", []reply{notYet, notYet, {503, badBody}, {200, wellBody}}, exitOK, "ready\n", told + "waiting: " + bad + "\n"},
		"not Leasehold yet": {"", []reply{{502, "<html>"}, {200, "<html>"}, {200, degradedBody}}, exitOK, "ready, and degraded: upstream is degraded: Vault is \ufffd[1maway\n", "waiting: Leasehold answered 502 Bad Gateway\nwaiting: the answer is not Leasehold's; check the address\n"},
		"unknown part":      {"-require=x", []reply{notYet, {400, unknownBody}}, exitFailure, "", told + "leasehold: Leasehold answered 400: there is no part \"x\" to require; there are listeners, clock\n"},
		"as JSON":           {"-json", []reply{notYet, {200, wellBody}}, exitOK, indented(t, mustDecode(t, wellBody)), told},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, asked := scripted(c.script...)
			var out, errs bytes.Buffer
			code := run(t.Context(), append([]string{"wait", "-address=" + serving(t, h)}, strings.Fields(c.args)...), &out, &errs)
			if code != c.code || out.String() != c.out || errs.String() != c.err {
				t.Errorf("ended with %d, %q and %q\nwant %d, %q and %q", code, out.String(), errs.String(), c.code, c.out, c.err)
			}
			if name == "unknown part" && asked.Load() != "/proxy/v1/readyz?require=x" {
				t.Errorf("asked for %v", asked.Load())
			}
		})
	}
}

// once calls do when something is written for the first time, and keeps what is.
type once struct {
	bytes.Buffer
	do func()
}

func (o *once) Write(b []byte) (int, error) {
	if o.do != nil {
		o.do()
		o.do = nil
	}
	return o.Buffer.Write(b)
}

// The daemon, with its socket, comes while it is waited for.
func TestWaitStartsFirst(t *testing.T) {
	dir, err := os.MkdirTemp("", "l") // short: the name of a socket is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	h, _ := scripted(reply{503, badBody}, reply{200, wellBody})
	s := httptest.NewUnstartedServer(h)
	t.Cleanup(s.Close)
	var out bytes.Buffer
	errs := once{do: func() {
		_ = s.Listener.Close()
		if s.Listener, err = net.Listen("unix", path); err == nil {
			s.Start()
		}
	}}
	code := run(t.Context(), []string{"wait", "-address=unix://" + path}, &out, &errs)
	if told := errs.String(); err != nil || code != exitOK || out.String() != "ready\n" ||
		!strings.HasPrefix(told, "waiting: Leasehold at unix://"+path+" does not answer: ") || !strings.HasSuffix(told, "\nwaiting: "+bad+"\n") {
		t.Errorf("ended with %d, %q and %q, %v", code, out.String(), told, err)
	}
}

// Ctrl-C ends it, with what was waited for.
func TestWaitIsInterrupted(t *testing.T) {
	h, _ := scripted(reply{503, badBody})
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	errs := once{do: cancel}
	code := run(ctx, []string{"wait", "-json", "-address=" + serving(t, h)}, &out, &errs)
	if want := fmt.Sprintf("waiting: %s\nleasehold: asked to stop while waiting: %s\n", bad, bad); code != exitFailure || errs.String() != want || out.String() != indented(t, mustDecode(t, badBody)) {
		t.Errorf("ended with %d, %q and %q; want %q", code, out.String(), errs.String(), want)
	}
}

// late is a context whose time is over when the test says so.
type late struct {
	context.Context
	over chan struct{}
}

func (l late) Done() <-chan struct{} { return l.over }

func (l late) Err() error {
	select {
	case <-l.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// When the time is over, the reason that was told last is the error.
func TestWaitGivesUpWithTheReason(t *testing.T) {
	h, _ := scripted(reply{503, badBody})
	ctx := late{t.Context(), make(chan struct{})}
	errs := once{do: func() { close(ctx.over) }}
	_, f := newHealthFlags("wait", waitUsage, &errs, waitTimeout)
	f.address = serving(t, h)
	w := waiting{flags: f, told: &errs}
	if err := w.until(ctx); err == nil || err.Error() != "gave up after 1m0s: "+bad || !w.answered || w.last.Ready {
		t.Errorf("ended with %v, and %+v", err, w.last)
	}
}

func mustDecode(t *testing.T, body string) (r api.Readiness) {
	t.Helper()
	h, _ := scripted(reply{200, body})
	c, err := api.NewClient(api.Options{Address: serving(t, h)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if r, err = c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// A container's root has no place for a socket: what probes there finds the usual address.
func TestWhereHealthIsAskedFor(t *testing.T) {
	const machines = "/run/leasehold/admin.sock"
	usual := "http://127.0.0.1:8100"
	if _, err := os.Stat(machines); err == nil {
		usual = "unix://" + machines // a Leasehold of this machine is found
	}
	runtimeDir := t.TempDir()
	t.Setenv("RUNTIME_DIRECTORY", runtimeDir)
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("LEASEHOLD_ADDR", "")
	find := func(address, env string) string {
		t.Helper()
		t.Setenv("LEASEHOLD_ADDR", env)
		_, f := newHealthFlags("wait", waitUsage, &bytes.Buffer{}, waitTimeout)
		f.address = address
		c, err := f.prober(waitWithin)
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		return c.Address()
	}
	for _, c := range []struct{ address, env, want string }{
		{"", "", usual},
		{"", "http://env.test:1", "http://env.test:1"},
		{"http://flag.test:1", "http://env.test:1", "http://flag.test:1"},
		{"", "env.test", "the address of Leasehold cannot be used; write http://HOST:PORT, https://HOST:PORT or unix:///PATH"},
	} {
		if got := find(c.address, c.env); got != c.want {
			t.Errorf("-address=%s with LEASEHOLD_ADDR=%s: %s, want %s", c.address, c.env, got, c.want)
		}
	}
	socket := filepath.Join(runtimeDir, "admin.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Skip(err) // the temporary directory has too long a name
	}
	defer func() { _ = ln.Close() }()
	if got := find("", ""); got != "unix://"+socket {
		t.Errorf("with an admin socket: %s", got)
	}
}
