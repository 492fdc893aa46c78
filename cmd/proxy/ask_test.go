package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"leasehold/internal/api"
)

var (
	asked = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	soon  = asked.Add(90 * time.Second)
)

// hostile is what a client may have sent to speak to somebody's terminal: a title, colours, a line of its own, C1 and bidirectional controls.
const hostile = "x\x1b]0;owned\x07\x1b[31m\r\nroot\u009b2J\u202e\x7f\ty"

func aStatus(text string) api.Status {
	past, at := asked.Add(-3*time.Hour), asked.Add(-49*time.Hour)
	return api.Status{
		Version: "1.2.3" + text, PID: 4711, Started: at, Uptime: 176400, Ready: true,
		Listeners: []api.Listener{
			{Address: "http://127.0.0.1:8100" + text, Role: "default", AutoAuth: "app", Rights: true},
			{Address: "unix:///run/leasehold/admin.sock", Role: "admin"},
		},
		Vault: api.Vault{Nodes: []api.Node{
			{Address: "https://a.example:8200", State: "down" + text, Since: past, LastError: "connection refused" + text, ErrorAt: &past},
			{Address: "https://b.example:8200", State: "up", Since: at, InUse: true},
		}},
		AutoAuth: []api.Login{
			{Name: "app" + text, Method: "approle", State: "held", Since: past, AccessorHash: "8c1f0a5be29d7763", Expires: &soon, Next: "renewal", NextAt: &soon,
				Sinks: []api.Sink{{Name: "file /run/token" + text, Stored: true, Since: past}, {Name: "file /run/b", Behind: true, Since: past, Error: "disk full" + text}}},
			{Name: "", Method: "jwt", State: "unauthenticated", Since: past, Next: "login", Failures: 3, LastError: "permission denied" + text, Sinks: []api.Sink{}},
		},
		Cache: &api.Cache{
			Entries: 212, Tokens: 3, Bytes: 331776, MaxBytes: 512 << 20, Hits: 3, Misses: 1, Full: 2,
			States:   map[string]int{"fresh": 209, "due": 1, "failing": 0, "ending": 2},
			Outcomes: map[string]int64{"HIT": 3, "MISS": 1, "COALESCED": 0, "BYPASS": 5, "STALE": 0},
		},
		Clock:     api.Clock{NextDue: &soon, Lag: 2.5, Renewals: 1931, Failed: 2},
		StateFile: &api.StateFile{Path: "/var/lib/leasehold/state.db" + text, State: "open", FileBytes: 1 << 20, AheadBytes: 8 << 20, Commits: 3122, Pending: 1},
		Configuration: api.Configuration{
			Files: []string{"/etc/leasehold/a.hcl", "/etc/leasehold/b.hcl" + text}, LastReload: &api.Reload{At: past, Error: "a.hcl:3: no" + text}, NeedsRestart: []string{"listener[0].address"},
		},
		Requests: api.Requests{Success: 10, ClientError: 2, Failed: 1, Abandoned: 4, Refused: 5, Denied: 6},
		Problems: []api.Problem{{At: past, Level: "WARN", Message: "renewal failed" + text, Details: map[string]string{"path": "db/creds/app" + text, "in": "30s"}}},
	}
}

func aPage(text string) api.LeasePage {
	return api.LeasePage{Total: 212, Next: "ZXhwaXJ5" + text, Leases: []api.Lease{
		{ID: "5d0c2f9b7e64a813", Kind: "lease", Path: "team/database/creds/app" + text, Mount: "database", AccessorHash: "8c1f0a5be29d7763", Created: asked.Add(-time.Hour),
			TTL: 1800, Renewal: &soon, Renewable: true, State: "fresh", Hits: 412},
		{ID: "a0c2f9b7e64a8135", Kind: "token", Path: "auth/approle/login", Created: asked.Add(-50 * time.Hour), TTL: 5, State: "ending"},
	}}
}

func anExplanation(text string) api.Explanation {
	return api.Explanation{
		Method: "GET" + text, Path: "/v1/db/creds/app" + text, Kind: "creation", Rule: "db/*" + text,
		Listeners: []api.ListenerView{
			{Address: "http://127.0.0.1:8100", Allowed: true, Why: "no rule denies this" + text, Token: `auto_auth "app"`},
			{Address: "unix:///run/leasehold/admin.sock", Status: 404, Why: "the listener serves Leasehold's own endpoints only"},
		},
		Cache: []api.CacheView{
			{Token: "none", Outcome: "MISS", Why: "nothing is held", Kept: "a login's token that can be renewed"},
			{Token: `auto_auth "app"`, Outcome: "HIT", Why: "it is held" + text, Lease: "5d0c2f9b7e64a813", TTL: 1799},
		},
	}
}

// prints are the three kinds of text, each of a value with something in its texts.
var prints = map[string]func(out io.Writer, text string) error{
	"status":  func(out io.Writer, text string) error { return printStatus(out, aStatus(text), asked) },
	"leases":  func(out io.Writer, text string) error { return printLeases(out, aPage(text), asked) },
	"explain": func(out io.Writer, text string) error { return printExplanation(out, anExplanation(text)) },
}

func TestTablesAreAsInTestdata(t *testing.T) {
	for name, prints := range prints {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := prints(&out, ""); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".txt")
			if os.Getenv("LEASEHOLD_UPDATE") != "" {
				if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != strings.ReplaceAll(string(want), "\r\n", "\n") {
				t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
			}
		})
	}
}

// lettersOnly fails for what a terminal would not take for letters.
func lettersOnly(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%U is printed in %q", r, text)
			return
		}
	}
}

// What a client has sent stands in tables, and neither speaks to the terminal nor begins a line of its own.
func TestTablesArePlainText(t *testing.T) {
	for name, prints := range prints {
		t.Run(name, func(t *testing.T) {
			var friendly, got bytes.Buffer
			if err := prints(&friendly, ""); err != nil {
				t.Fatal(err)
			}
			if err := prints(&got, hostile); err != nil {
				t.Fatal(err)
			}
			lettersOnly(t, got.String())
			if lines := strings.Count(friendly.String(), "\n"); strings.Count(got.String(), "\n") != lines || !strings.Contains(got.String(), "owned") {
				t.Errorf("%d lines, want %d:\n%s", strings.Count(got.String(), "\n"), lines, got.String())
			}
		})
	}
}

// Little is known at the start, and without a cache: nothing is printed of what there is not.
func TestStatusOfLittle(t *testing.T) {
	var out bytes.Buffer
	if err := printStatus(&out, api.Status{Version: "dev", Vault: api.Vault{Refused: true, Nodes: []api.Node{{Address: "https://v", State: "down"}}}}, asked); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"not ready", "Vault, which cannot be reached: requests are refused\n", "renewals  0, and 0 that failed; none planned; behind by 0s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in:\n%s", want, out.String())
		}
	}
	for _, not := range []string{"cache", "logins", "sinks", "state file", "warnings"} {
		if strings.Contains(out.String(), not) {
			t.Errorf("there is %q in:\n%s", not, out.String())
		}
	}
}

func TestRound(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 999 * time.Millisecond: "0s", 90 * time.Second: "1m30s", time.Hour: "1h0m", 90*time.Minute + 5*time.Second: "1h30m", 47 * time.Hour: "47h0m",
		48 * time.Hour: "2d", 1000 * time.Hour: "41d",
	} {
		if got := round(d); got != want {
			t.Errorf("round(%v) = %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 20: "1.0 MiB", 3 << 30: "3.0 GiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

// answering is a Leasehold that gives these answers.
func answering(t *testing.T, status int, answers map[string]any) (address string) {
	t.Helper()
	return serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		body := answers[strings.TrimPrefix(r.URL.Path, "/proxy/v1/")]
		if r.URL.Query().Get("after") != "" {
			body = answers["leases after"]
		}
		_ = json.NewEncoder(w).Encode(body)
	}))
}

// asks runs a command against address.
func asks(t *testing.T, address string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), append([]string{args[0], "-address=" + address}, args[1:]...), &out, &errs)
	return code, out.String(), errs.String()
}

// With -json a command prints the answer of its endpoint, in letters that a terminal may have.
func TestJSONIsTheAnswer(t *testing.T) {
	answers := map[string]any{"status": aStatus(hostile), "leases": aPage(hostile), "explain": anExplanation(hostile)}
	address := answering(t, http.StatusOK, answers)
	for name, args := range map[string][]string{"status": {"status", "-json"}, "leases": {"leases", "-json"}, "explain": {"explain", "-json", "get", "db/creds/app"}} {
		code, out, errs := asks(t, address, args...)
		got := reflect.New(reflect.TypeOf(answers[name]))
		if err := json.Unmarshal([]byte(out), got.Interface()); code != exitOK || err != nil || errs != "" {
			t.Fatalf("%s = %d, %q, %v", name, code, errs, err)
		}
		if !reflect.DeepEqual(got.Elem().Interface(), answers[name]) {
			t.Errorf("%s printed %s", name, out)
		}
		lettersOnly(t, out)
	}
	var out bytes.Buffer
	if err := printJSON(&out, "\U000e0041\U0001f600ü"); err != nil || out.String() != `"\udb40\udc41😀ü"`+"\n" {
		t.Errorf("printed %s, %v", out.String(), err)
	}
}

// Exit codes answer for scripts.
func TestExitCodesOfQuestions(t *testing.T) {
	ready := map[string]any{"status": aStatus(""), "leases": aPage(""), "leases after": api.LeasePage{}, "explain": anExplanation("")}
	none := map[string]any{"status": api.Status{}, "leases": api.LeasePage{}, "explain": api.Explanation{Listeners: []api.ListenerView{{Status: 403}}}}
	refused := map[string]any{"status": api.Errors{Errors: []string{"no such endpoint on this listener" + hostile}}}
	for name, c := range map[string]struct {
		status  int
		answers map[string]any
		args    []string
		code    int
		says    string // on standard error
	}{
		"ready":            {200, ready, []string{"status"}, exitOK, ""},
		"not ready":        {200, none, []string{"status"}, exitNo, ""},
		"not ready, JSON":  {200, none, []string{"status", "-json"}, exitNo, ""},
		"some leases":      {200, ready, []string{"leases"}, exitOK, ""},
		"no leases":        {200, none, []string{"leases"}, exitNo, ""},
		"goes on":          {200, ready, []string{"explain", "GET", "/v1/a"}, exitOK, ""},
		"goes nowhere":     {200, none, []string{"explain", "GET", "/v1/a"}, exitNo, ""},
		"nothing cleared":  {200, none, []string{"clear", "all"}, exitNo, ""},
		"not enabled":      {404, refused, []string{"status"}, exitFailure, "leasehold: Leasehold answered 404: no such endpoint on this listener"},
		"a flag":           {200, ready, []string{"leases", "-mout=x"}, exitFailure, "flag provided but not defined: -mout"},
		"an argument":      {200, ready, []string{"status", "all"}, exitFailure, "usage: leasehold status"},
		"no path":          {200, ready, []string{"explain", "GET"}, exitFailure, "usage: leasehold explain"},
		"what to clear":    {200, ready, []string{"clear", "some"}, exitFailure, "usage: leasehold clear"},
		"a path too many":  {200, ready, []string{"clear", "path", "a", "b"}, exitFailure, "usage: leasehold clear"},
		"-help":            {200, ready, []string{"status", "-help"}, exitOK, "usage: leasehold status"},
		"flags at the end": {200, ready, []string{"explain", "GET", "/v1/a", "-json"}, exitOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := asks(t, answering(t, c.status, c.answers), c.args...)
			if code != c.code || !strings.HasPrefix(errs, c.says) || c.says == "" && errs != "" {
				t.Errorf("%v = %d %q, and %q; want %d and %q", c.args, code, out, errs, c.code, c.says)
			}
			if !strings.HasPrefix(c.says, "usage") && !strings.HasPrefix(c.says, "flag") {
				lettersOnly(t, errs)
			}
		})
	}
}

// All pages are one list.
func TestAllPages(t *testing.T) {
	last := aPage("")
	last.Next, last.Total = "", 213
	address := answering(t, http.StatusOK, map[string]any{"leases": aPage(""), "leases after": last})
	code, out, _ := asks(t, address, "leases", "-all", "-json")
	var page api.LeasePage
	if err := json.Unmarshal([]byte(out), &page); code != exitOK || err != nil || len(page.Leases) != 4 || page.Total != 213 || page.Next != "" {
		t.Errorf("%d, %v: %s", code, err, out)
	}
}

// Without an address a command looks where a daemon has its socket by itself, and says where it has looked.
func TestWhereTheDaemonIs(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("LEASEHOLD_ADDR", "")
	t.Setenv("RUNTIME_DIRECTORY", "")
	t.Setenv("XDG_RUNTIME_DIR", dir)
	status := func() (int, string, string) {
		var out, errs bytes.Buffer
		code := run(context.Background(), []string{"status"}, &out, &errs)
		return code, out.String(), errs.String()
	}
	path := filepath.Join(dir, "leasehold", "admin.sock")
	if looked := api.Sockets(os.Getenv); len(looked) == 0 || looked[0] != path {
		t.Skip("this system has no admin socket")
	}
	if _, err := os.Stat("/run/leasehold/admin.sock"); err != nil {
		if code, _, errs := status(); code != exitFailure || !strings.Contains(errs, "there is no admin socket (looked for: "+path+", ") {
			t.Errorf("without a socket: %d %s", code, errs)
		}
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(aStatus("")) }))
	_ = s.Listener.Close()
	s.Listener = ln
	s.Start()
	defer s.Close()
	if code, out, errs := status(); code != exitOK || !strings.HasPrefix(out, "Leasehold 1.2.3, pid 4711, up 2d, ready\n") {
		t.Errorf("with one: %d %s %s", code, out, errs)
	}
	t.Setenv("LEASEHOLD_ADDR", answering(t, http.StatusOK, map[string]any{"status": api.Status{Version: "other"}}))
	if code, out, _ := status(); code != exitNo || !strings.HasPrefix(out, "Leasehold other,") {
		t.Errorf("by the environment: %d %s", code, out)
	}
}
