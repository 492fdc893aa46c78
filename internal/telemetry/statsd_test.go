package telemetry_test

import (
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"

	"leasehold/internal/telemetry"
)

// datagrams is a socket that statsd would have.
type datagrams struct{ net.PacketConn }

func listenUDP(t *testing.T) datagrams {
	t.Helper()
	return listenPacket(t, "udp", "127.0.0.1:0")
}

func listenPacket(t *testing.T, network, address string) datagrams {
	t.Helper()
	conn, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return datagrams{conn}
}

// lines reads until the line that has last in it, and fails for a datagram that is too large for a network.
func (d datagrams) lines(t *testing.T, last string) (all []string) {
	t.Helper()
	_ = d.SetReadDeadline(time.Now().Add(10 * time.Second))
	for b := make([]byte, 1<<16); ; {
		n, _, err := d.ReadFrom(b)
		if err != nil {
			t.Fatalf("%v after %q", err, all)
		}
		if n > 1400 || b[n-1] != '\n' {
			t.Errorf("a datagram of %d bytes that ends in %q", n, b[n-1])
		}
		all = append(all, strings.Split(strings.TrimSpace(string(b[:n])), "\n")...)
		if strings.Contains(string(b[:n]), last) {
			return all
		}
	}
}

// wantLines fails unless all has each, and what it has of the name of a line is nothing else.
func wantLines(t *testing.T, all []string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !slices.Contains(all, line) {
			name, _, _ := strings.Cut(line, ":")
			t.Errorf("no %q; there is %q", line, slices.DeleteFunc(slices.Clone(all), func(l string) bool { return !strings.HasPrefix(l, name) }))
		}
	}
}

// lastOf is in the last line of an export: producers come last.
const lastOf = "leasehold.requests.active"

func pushing(t *testing.T, s telemetry.Settings) (*telemetry.Meters, *telemetry.Requests) {
	t.Helper()
	q := telemetry.NewRequests(routes, outcomes)
	s.Producers, s.Log = []sdk.Producer{q}, slog.New(slog.DiscardHandler)
	return metersOf(t, s, sources()), q
}

func TestStatsd(t *testing.T) {
	server := listenUDP(t)
	m, q := pushing(t, telemetry.Settings{Statsd: server.LocalAddr().String(), DisableHostname: true})
	for range 3 {
		m.Hit()
	}
	q.Observe("kv", "MISS", 200, 3*time.Millisecond)
	q.Observe("kv", "MISS", 200, 5*time.Millisecond)
	m.Committed(2 * time.Millisecond)
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := server.lines(t, lastOf)
	wantLines(t, first, "vault.proxy.cache.hit:3|c", "vault.agent.cache.hit:3|c", "leasehold.cache.entries:7|g", "leasehold.leases.failing:3|g",
		"leasehold.upstream.node.up.vault-0_8200:1|g", "leasehold.lease.nearest_expiry:1.5|g",
		"leasehold.request.duration.MISS.kv.2xx:4|ms|@0.5", "leasehold.state.commit.duration:2|ms", "vault.proxy.authenticated:0|g")
	if slices.ContainsFunc(first, func(l string) bool { return strings.HasPrefix(l, "vault.proxy.cache.miss") }) {
		t.Error("a counter that stood still was sent")
	}
	m.Hit()
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := server.lines(t, lastOf)
	wantLines(t, second, "vault.proxy.cache.hit:1|c", "leasehold.cache.entries:7|g")
	if slices.ContainsFunc(second, func(l string) bool { return strings.HasPrefix(l, "leasehold.request.duration") }) {
		t.Errorf("measurements were sent twice: %q", second)
	}
}

// What is sent at the end is not lost.
func TestTheEndSendsWhatIsLeft(t *testing.T) {
	server := listenUDP(t)
	m, err := telemetry.New(telemetry.Settings{Statsd: server.LocalAddr().String(), Log: slog.New(slog.DiscardHandler), NoPrometheus: true}, sources())
	if err != nil {
		t.Fatal(err)
	}
	m.Miss()
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLines(t, server.lines(t, "vault.proxy.cache.miss"), "vault.proxy.cache.miss:1|c")
}

// A label is one part of a name, whatever its value is, and a tag has the value itself.
func TestLabelsInNames(t *testing.T) {
	plain, tagged := listenUDP(t), listenUDP(t)
	from := sources()
	from.Nodes = func() ([]telemetry.Node, bool) {
		return []telemetry.Node{{Host: "vault-0.example.com:8200", Up: true}}, true
	}
	m := metersOf(t, telemetry.Settings{
		Version: "1.2.3", Statsd: plain.LocalAddr().String(), Dogstatsd: tagged.LocalAddr().String(), DisableHostname: true,
		Producers: []sdk.Producer{telemetry.NewRequests(routes, outcomes)}, Log: slog.New(slog.DiscardHandler),
	}, from)
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	runtimes := strings.ReplaceAll(runtime.Version(), ".", "_")
	names := plain.lines(t, lastOf)
	wantLines(t, names, "leasehold.token.state.default.logging_in:1|g", "leasehold.token.state.a.held:1|g", "leasehold.outage.runway.0_95:60|g",
		"leasehold.upstream.node.up.vault-0_example_com_8200:1|g", "leasehold.build.info."+strings.NewReplacer(" ", "_", ":", "_").Replace(runtimes)+".1_2_3:1|g")
	for _, line := range names {
		if name, _, _ := strings.Cut(line, ":"); strings.Contains(name, "..") || strings.HasSuffix(name, ".") {
			t.Errorf("%q has an empty part", line)
		}
	}
	wantLines(t, tagged.lines(t, lastOf), "leasehold.token.state:1|g|#auto_auth:,state:logging_in", "leasehold.outage.runway:60|g|#quantile:0.95",
		"leasehold.upstream.node.up:1|g|#node:vault-0.example.com:8200")
}

func TestTheHostInNamesOfGauges(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	for title, tc := range map[string]struct {
		settings telemetry.Settings
		want     string
	}{
		"two ways out":         {telemetry.Settings{}, "vault." + name + ".proxy.authenticated:0|g"},
		"one way out":          {telemetry.Settings{NoPrometheus: true}, "vault.proxy.authenticated:0|g"},
		"turned off":           {telemetry.Settings{DisableHostname: true}, "vault.proxy.authenticated:0|g"},
		"with another prefix":  {telemetry.Settings{Prefix: "edge"}, "edge." + name + ".proxy.authenticated:0|g"},
		"as a label":           {telemetry.Settings{HostLabel: true}, "vault.proxy.authenticated." + strings.ReplaceAll(name, ".", "_") + ":0|g"},
		"a prefix of any kind": {telemetry.Settings{Prefix: "9 li-ves"}, "9_li-ves." + name + ".proxy.authenticated:0|g"},
		"our own have it not":  {telemetry.Settings{}, "leasehold.cache.entries:7|g"},
		"counters have it not": {telemetry.Settings{}, "vault.proxy.cache.hit:1|c"},
	} {
		t.Run(title, func(t *testing.T) {
			server := listenUDP(t)
			tc.settings.Statsd = server.LocalAddr().String()
			m, _ := pushing(t, tc.settings)
			m.Hit()
			_ = m.Flush(t.Context())
			wantLines(t, server.lines(t, lastOf), tc.want)
		})
	}
}

func TestDogStatsD(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dsd.socket")
	for title, tc := range map[string]struct {
		server  datagrams
		address string
	}{
		"UDP":      {server: listenUDP(t)},
		"a socket": {listenPacket(t, "unixgram", path), "unix://" + path},
	} {
		t.Run(title, func(t *testing.T) {
			if tc.address == "" {
				tc.address = tc.server.LocalAddr().String()
			}
			m, q := pushing(t, telemetry.Settings{Dogstatsd: tc.address, DogstatsdTags: []string{"env:prod", "a|b"}})
			m.Hit()
			q.Observe("kv", "", 0, time.Second)
			_ = m.Flush(t.Context())
			wantLines(t, tc.server.lines(t, lastOf), "vault.proxy.cache.hit:1|c|#env:prod,a_b", "leasehold.leases:3|g|#env:prod,a_b,state:failing",
				"vault.proxy.authenticated:0|g|#env:prod,a_b", "leasehold.request.duration:1000|ms|#env:prod,a_b,outcome:none,route:kv,status:none")
		})
	}
}

func TestStatsite(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	got := make(chan string, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		all, _ := io.ReadAll(conn)
		_ = conn.Close()
		got <- string(all)
	}()
	m, _ := pushing(t, telemetry.Settings{Statsite: ln.Addr().String(), DisableHostname: true})
	m.Hit()
	_ = m.Flush(t.Context())
	wantLines(t, strings.Split(<-got, "\n"), "vault.proxy.cache.hit:1|c", "leasehold.cache.entries:7|g")
	_ = ln.Close() // what the end sends finds nobody, which costs nothing
}
