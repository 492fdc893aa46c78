package router_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"leasehold/internal/api"
	"leasehold/internal/router"
)

// openInside has something to tell about everything.
type openInside struct {
	status func(full bool) api.Status
	asked  int
}

func (o *openInside) Status(full bool) api.Status {
	o.asked++
	if o.status != nil {
		return o.status(full)
	}
	return api.Status{}
}

func (o *openInside) Leases(api.LeaseQuery, bool) (api.LeasePage, error) {
	o.asked++
	return api.LeasePage{}, nil
}

func (o *openInside) Explain(router.Question) (api.Explanation, error) {
	o.asked++
	return api.Explanation{}, nil
}

// inside is a listener's handler that has all of our own endpoints to carry out, and counts what is done. The events end at once.
type inside struct {
	openInside
	fakeClear
	quits, reauths int
	handler        http.Handler
}

func newInside(opt router.Options) *inside {
	in := &inside{}
	over, end := context.WithCancel(context.Background())
	end()
	in.handler = router.New(router.Parts{
		Inside: &in.openInside, Clear: &in.fakeClear, Quit: func() { in.quits++ }, Reauth: func(context.Context) error { in.reauths++; return nil },
		Feed: router.NewFeed(over, func(int) ([]api.Sample, int) { in.asked++; return nil, 0 }),
		Log:  slog.New(slog.DiscardHandler), Answer: &fakeAnswer{},
	}, opt)
	return in
}

func (in *inside) done() int { return in.asked + len(in.got) + in.quits + in.reauths }

// privateEndpoints are those that look inside or change something.
var privateEndpoints = []struct{ method, name, body string }{
	{"GET", "status", ""}, {"GET", "leases", ""}, {"GET", "explain?path=/v1/x", ""}, {"GET", "events", ""},
	{"POST", "cache-clear", `{"type":"all"}`}, {"PUT", "cache-clear", `{"type":"all"}`}, {"POST", "quit", ""}, {"POST", "reauth", ""},
}

var (
	loopback = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8210}
	outward  = &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 8210}
	socket   = &net.UnixAddr{Name: "/run/leasehold/admin.sock", Net: "unix"}
)

// Pages of other sites get nothing, under whatever name they ask; programs are not hindered.
func TestWhatABrowserSendsForAnotherSite(t *testing.T) {
	for name, tc := range map[string]struct {
		host   string
		at     net.Addr
		tls    bool
		fields []string
		status int
	}{
		"curl":                               {"127.0.0.1:8210", loopback, false, nil, 200},
		"curl to localhost":                  {"localhost:8210", loopback, false, nil, 200},
		"curl to [::1]":                      {"[::1]:8210", &net.TCPAddr{IP: net.IPv6loopback}, false, nil, 200},
		"curl to a name below localhost":     {"leasehold.localhost:8210", loopback, false, nil, 200},
		"curl to LOCALHOST.":                 {"LOCALHOST.:8210", loopback, false, nil, 200},
		"curl from elsewhere, by name":       {"leasehold.example:8210", outward, false, nil, 200},
		"curl over the socket":               {"leasehold", socket, false, nil, 200},
		"ssh -L to the socket":               {"localhost:8210", socket, false, []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"a page of ours":                     {"127.0.0.1:8210", loopback, false, []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"typed by hand":                      {"127.0.0.1:8210", loopback, false, []string{"Sec-Fetch-Site", "none"}, 200},
		"a page of ours, an old browser":     {"127.0.0.1:8210", loopback, false, []string{"Origin", "http://127.0.0.1:8210"}, 200},
		"a page of ours behind a proxy":      {"10.1.2.3:8210", outward, false, []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://ops.example"}, 200},
		"by name, with a certificate":        {"leasehold.example:8210", loopback, true, nil, 200},
		"another site":                       {"127.0.0.1:8210", loopback, false, []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"another site, by a link":            {"127.0.0.1:8210", loopback, false, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 403},
		"another port of this machine":       {"127.0.0.1:8210", loopback, false, []string{"Sec-Fetch-Site", "same-site"}, 403},
		"another site, an old browser":       {"127.0.0.1:8210", loopback, false, []string{"Origin", "https://evil.example"}, 403},
		"another port, an old browser":       {"127.0.0.1:8210", loopback, false, []string{"Origin", "http://127.0.0.1:9000"}, 403},
		"a sandboxed page, an old browser":   {"127.0.0.1:8210", loopback, false, []string{"Origin", "null"}, 403},
		"another site, over TLS":             {"leasehold.example:8210", outward, true, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"another site, elsewhere":            {"10.1.2.3:8210", outward, false, []string{"Origin", "https://evil.example"}, 403},
		"another site, ssh -L to the socket": {"localhost:8210", socket, false, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"a word that is none":                {"127.0.0.1:8210", loopback, false, []string{"Sec-Fetch-Site", "sideways"}, 403},
		"rebound":                            {"evil.example:8210", loopback, false, nil, 403},
		"rebound, and the browser agrees":    {"evil.example:8210", loopback, false, []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://evil.example:8210"}, 403},
		"rebound, no port":                   {"evil.example", loopback, false, nil, 403},
		"rebound, a dot at the end":          {"evil.example.:8210", loopback, false, nil, 403},
		"rebound, a name without a dot":      {"evil:8210", loopback, false, nil, 403},
		"rebound to [::1]":                   {"evil.example:8210", &net.TCPAddr{IP: net.IPv6loopback}, false, nil, 403},
		"rebound, almost localhost":          {"localhost.evil.example:8210", loopback, false, nil, 403},
		"rebound, almost localhost too":      {"notlocalhost:8210", loopback, false, nil, 403},
		"rebound, almost an address":         {"127.0.0.1.evil.example:8210", loopback, false, nil, 403},
		"rebound, no name":                   {"", loopback, false, nil, 403},
		"rebound, ssh -L to the socket":      {"evil.example:8210", socket, false, nil, 403},
	} {
		for _, e := range privateEndpoints {
			t.Run(name+" "+e.method+" "+e.name, func(t *testing.T) {
				in := newInside(router.Options{Admin: true})
				r := newRequest(e.method, "/proxy/v1/"+e.name, e.body, tc.fields...)
				r.Host = tc.host
				r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, tc.at))
				if tc.tls {
					r.TLS = &tls.ConnectionState{}
				}
				w := (&fixture{handler: in.handler}).serve(r)
				if w.Code != tc.status || (in.done() > 0) != (tc.status == 200) {
					t.Errorf("status = %d %s, and %d things done; want %d", w.Code, w.Body, in.done(), tc.status)
				}
			})
		}
	}
}

// A machine that calls itself does so from the address that it calls, whichever of its own that is.
func TestReboundToAnotherAddressOfThisMachine(t *testing.T) {
	at := func(ip string) *net.TCPAddr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 8210} }
	zoned := &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 8210, Zone: "eth0"}
	for name, tc := range map[string]struct {
		host   string
		at     net.Addr
		remote string
		status int
	}{
		"rebound":               {"evil.example:8210", at("10.1.2.3"), "10.1.2.3:50000", 403},
		"rebound, mapped":       {"evil.example:8210", at("10.1.2.3"), "[::ffff:10.1.2.3]:50000", 403},
		"rebound, IPv6":         {"evil.example:8210", at("2001:db8::1"), "[2001:db8::1]:50000", 403},
		"rebound, link-local":   {"evil.example:8210", zoned, "[fe80::1%eth0]:50000", 403},
		"by address":            {"10.1.2.3:8210", at("10.1.2.3"), "10.1.2.3:50000", 200},
		"as localhost":          {"localhost:8210", at("10.1.2.3"), "10.1.2.3:50000", 200},
		"by name, a neighbour":  {"leasehold.example:8210", at("10.1.2.3"), "10.1.2.4:50000", 200},
		"by name, nobody knows": {"leasehold.example:8210", at("10.1.2.3"), "@", 200},
	} {
		for _, e := range privateEndpoints {
			t.Run(name+" "+e.method+" "+e.name, func(t *testing.T) {
				in := newInside(router.Options{Admin: true})
				r := newRequest(e.method, "/proxy/v1/"+e.name, e.body)
				r.Host, r.RemoteAddr = tc.host, tc.remote
				r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, tc.at))
				w := (&fixture{handler: in.handler}).serve(r)
				if w.Code != tc.status || (in.done() > 0) != (tc.status == 200) {
					t.Errorf("status = %d %s, and %d things done; want %d", w.Code, w.Body, in.done(), tc.status)
				}
			})
		}
	}
}

// A listener for applications may be called by any name of this machine, as it could before, but nothing looks inside under one.
func TestNamesOfOtherListeners(t *testing.T) {
	for _, e := range privateEndpoints {
		in := newInside(router.Options{EnableStatus: true, EnableQuit: true, EnableReauth: true})
		r := newRequest(e.method, "/agent/v1/"+e.name, e.body)
		r.Host = "vault-proxy:8200"
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, loopback))
		want := http.StatusOK
		if e.method == "GET" {
			want = http.StatusForbidden
		}
		if w := (&fixture{handler: in.handler}).serve(r); w.Code != want {
			t.Errorf("%s %s = %d %s, want %d", e.method, e.name, w.Code, w.Body, want)
		}
	}
}

// What is refused is told, logged and noted as other refusals are; probes and scrapers are asked nothing.
func TestRefusalsOfOtherSites(t *testing.T) {
	var denied []string
	log := &strings.Builder{}
	h := router.New(router.Parts{
		Inside: &openInside{}, Metrics: http.NotFoundHandler(), Log: slog.New(slog.NewTextHandler(log, nil)),
		Ready: func() api.Readiness { return api.Readiness{Ready: true} },
		Seen:  func(x *router.Exchange) { denied = append(denied, x.Denied) },
	}, router.Options{Admin: true})
	f := &fixture{handler: h}
	w := f.do("GET", "/proxy/v1/status", "", "Sec-Fetch-Site", "cross-site")
	wantError(t, w, http.StatusForbidden, "a page of another site may not ask this of Leasehold")
	if len(denied) != 1 || denied[0] == "" || !strings.Contains(log.String(), "request denied") {
		t.Errorf("noted %q, logged %q", denied, log)
	}
	if w := f.do("GET", "/proxy/v1/readyz", "", "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusOK {
		t.Errorf("readyz = %d", w.Code)
	}
}
