package upstream_test

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

func setenv(t *testing.T, env map[string]string) {
	for k, v := range env {
		t.Setenv(k, v)
	}
}

// ask sends one request through c, and returns the status, or 0 and an error.
func ask(t *testing.T, c *upstream.Client) (*httptest.ResponseRecorder, error) {
	t.Helper()
	w := httptest.NewRecorder()
	return w, c.Forward(w, httptest.NewRequest("GET", "/v1/x", nil), vault.Identity{}, nil)
}

func TestAddress(t *testing.T) {
	for name, tc := range map[string]struct {
		stanza string
		env    map[string]string
		ignore []string
		want   string
	}{
		"default": {want: "https://127.0.0.1:8200"},
		"stanza":  {stanza: "http://a.example:1/base", want: "http://a.example:1/base"},
		"environment wins": {
			stanza: "http://a.example:1",
			env:    map[string]string{"VAULT_ADDR": "http://b.example:2"},
			want:   "http://b.example:2",
		},
		"set but empty is unset": {stanza: "http://a.example:1", env: map[string]string{"VAULT_ADDR": ""}, want: "http://a.example:1"},
		"a flag wins over both": {
			stanza: "http://flag.example:1",
			env:    map[string]string{"VAULT_ADDR": "http://b.example:2"},
			ignore: []string{"VAULT_ADDR"},
			want:   "http://flag.example:1",
		},
		"agent address is not ours": {
			stanza: "http://a.example:1",
			env:    map[string]string{"VAULT_AGENT_ADDR": "http://self.example:3"},
			want:   "http://a.example:1",
		},
		"unix socket":                   {stanza: "unix:///run/vault.sock", want: "unix:///run/vault.sock"},
		"user and password do not show": {stanza: "https://me:secret@a.example:1", want: "https://a.example:1"},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, tc.env)
			if got := newClient(t, upstream.Settings{Address: tc.stanza, IgnoreEnv: tc.ignore}).Address(); got != tc.want {
				t.Errorf("Address() = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestBadSettings(t *testing.T) {
	for name, tc := range map[string]struct {
		settings upstream.Settings
		env      map[string]string
		says     string
	}{
		"address without a scheme": {
			settings: upstream.Settings{Address: "vault.example:8200"},
			says:     `address "vault.example:8200" cannot be used; write it like https://`,
		},
		"address without a host":     {settings: upstream.Settings{Address: "https://"}, says: "cannot be used"},
		"address of another scheme":  {settings: upstream.Settings{Address: "ftp://vault.example"}, says: "cannot be used"},
		"address that does not read": {settings: upstream.Settings{Address: "http://[::1"}, says: "cannot be used"},
		"socket without a path":      {settings: upstream.Settings{Address: "unix://"}, says: "cannot be used"},
		"password in a bad address":  {settings: upstream.Settings{Address: "https://me:secret@vault.example:x"}, says: "cannot be used"},
		"no such CA file":            {settings: upstream.Settings{CACert: "/no/such.pem"}, says: "/no/such.pem"},
		"certificate without key":    {settings: upstream.Settings{ClientCert: "/some.pem"}, says: "both client cert and client key must be provided"},
		"VAULT_CACERT":               {env: map[string]string{"VAULT_CACERT": "/no/such.pem"}, says: "/no/such.pem"},
		"VAULT_CACERT_BYTES":         {env: map[string]string{"VAULT_CACERT_BYTES": "nonsense"}, says: "PEM"},
		"VAULT_SKIP_VERIFY":          {env: map[string]string{"VAULT_SKIP_VERIFY": "perhaps"}, says: "VAULT_SKIP_VERIFY"},
		"VAULT_MAX_RETRIES":          {env: map[string]string{"VAULT_MAX_RETRIES": "-1"}, says: `VAULT_MAX_RETRIES is "-1"; set a whole number`},
		"VAULT_CLIENT_TIMEOUT":       {env: map[string]string{"VAULT_CLIENT_TIMEOUT": "soon"}, says: "VAULT_CLIENT_TIMEOUT"},
		"negative timeout":           {env: map[string]string{"VAULT_CLIENT_TIMEOUT": "-5s"}, says: "VAULT_CLIENT_TIMEOUT is negative"},
		"VAULT_RATE_LIMIT":           {env: map[string]string{"VAULT_RATE_LIMIT": "fast"}, says: "VAULT_RATE_LIMIT"},
		"rate limit of zero":         {env: map[string]string{"VAULT_RATE_LIMIT": "0"}, says: "VAULT_RATE_LIMIT must be above zero"},
		"VAULT_SRV_LOOKUP":           {env: map[string]string{"VAULT_SRV_LOOKUP": "perhaps"}, says: "VAULT_SRV_LOOKUP"},
		"VAULT_PROXY_ADDR":           {env: map[string]string{"VAULT_PROXY_ADDR": "http://me:secret@proxy:x"}, says: "VAULT_PROXY_ADDR is not a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, tc.env)
			tc.settings.Log = slog.New(slog.DiscardHandler)
			_, err := upstream.New(tc.settings)
			if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("New = %v, want one sentence with %q and no password", err, tc.says)
			}
		})
	}
}

func TestUnixSocket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vault.sock")
	ln, err := net.Listen("unix", file)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Host+r.RequestURI)
	})}}
	s.Start()
	t.Cleanup(s.Close)
	c := newClient(t, upstream.Settings{Address: "unix://" + file})
	if w, err := ask(t, c); err != nil || w.Body.String() != "localhost/v1/x" {
		t.Errorf("arrived %q, %v", w.Body, err)
	}
	client, err := c.API()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloneConfig().HttpClient.CloseIdleConnections()
	resp, err := client.Logical().ReadRaw("secret/x")
	if err != nil {
		t.Fatalf("through API: %v", err)
	}
	resp.Body.Close()
}

func TestForwardProxyGetsAbsoluteTargets(t *testing.T) {
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) })
	t.Setenv("VAULT_HTTP_PROXY", "http://never.example")
	t.Setenv("VAULT_PROXY_ADDR", proxy.URL)
	c := newClient(t, upstream.Settings{Address: "http://vault.example:8200/base"})
	r := httptest.NewRequest("GET", "/v1/a%2Fb?c;d", nil)
	w := httptest.NewRecorder()
	if err := c.Forward(w, r, vault.Identity{}, nil); err != nil || w.Body.String() != "http://vault.example:8200/base/v1/a%2Fb?c;d" {
		t.Errorf("the proxy was asked for %q, %v", w.Body, err)
	}
}

func TestSRVLookup(t *testing.T) {
	back := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })
	port := back.Listener.Addr().(*net.TCPAddr).Port
	old := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: answerSRV(uint16(port))}
	t.Cleanup(func() { net.DefaultResolver = old })

	t.Setenv("VAULT_SRV_LOOKUP", "true")
	if w, err := ask(t, newClient(t, upstream.Settings{Address: "http://vault.example"})); err != nil || w.Body.String() != "vault.example" {
		t.Errorf("Host arrived as %q, %v; want vault.example at the record's port", w.Body, err)
	}
	if w, err := ask(t, newClient(t, upstream.Settings{Address: back.URL})); err != nil || "http://"+w.Body.String() != back.URL {
		t.Errorf("with a port: %q, %v; want no lookup", w.Body, err)
	}
}

// API's client is for the logins: it carries nothing that was not given to it.
func TestAPI(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".vault-token"), []byte("hvs.home"), 0o600); err != nil {
		t.Fatal(err)
	}
	setenv(t, map[string]string{
		"HOME": home, "VAULT_TOKEN": "hvs.env", "VAULT_NAMESPACE": "ns1", "VAULT_WRAP_TTL": "60",
		"VAULT_HEADERS": `{"X-Tenant":"a"}`, "VAULT_AGENT_ADDR": "http://127.0.0.1:1",
	})
	var got http.Header
	logins, remotes := 0, map[string]bool{}
	back := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		remotes[r.RemoteAddr] = true
		if r.Method == "PUT" {
			logins++
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	c := newClient(t, upstream.Settings{Address: back.URL, NumRetries: 3, LoginHeaders: http.Header{"X-Gate": {"b"}}})
	client, err := c.API()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloneConfig().HttpClient.CloseIdleConnections()
	if _, err := client.Logical().Write("auth/approle/login", map[string]any{"role_id": "r"}); err == nil || logins != 1 {
		t.Errorf("err = %v after %d tries, want the 503 at once: auto-auth has its own back-off", err, logins)
	}
	for k, want := range map[string]string{
		"X-Vault-Token": "", "X-Vault-Namespace": "", "X-Vault-Wrap-Ttl": "", "X-Vault-Request": "true", "User-Agent": own(), "X-Tenant": "a", "X-Gate": "b",
	} {
		if got.Get(k) != want {
			t.Errorf("%s = %q, want %q", k, got.Get(k), want)
		}
	}
	if _, err := ask(t, c); err != nil {
		t.Fatal(err)
	}
	if got.Get("X-Gate") != "" {
		t.Error("a forwarded request carries the header of logins")
	}
	if len(remotes) != 2 {
		t.Errorf("logins and forwarded requests came over %d connections, want one each (CFG-8)", len(remotes))
	}
}

func TestConnectionsAreClosedOnlyWhereAsked(t *testing.T) {
	for name, tc := range map[string]struct {
		conns upstream.Connections
		want  int
	}{
		"kept":           {upstream.Connections{}, 1},
		"no idle pool":   {upstream.Connections{DisableIdle: true}, 3},
		"no keep-alives": {upstream.Connections{DisableKeepAlives: true}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			remotes := map[string]bool{}
			back := serve(t, func(_ http.ResponseWriter, r *http.Request) { remotes[r.RemoteAddr] = true })
			c := newClient(t, upstream.Settings{Address: back.URL, Proxying: tc.conns, AutoAuth: upstream.Connections{DisableIdle: true}})
			for range 3 {
				if _, err := ask(t, c); err != nil {
					t.Fatal(err)
				}
			}
			if len(remotes) != tc.want {
				t.Errorf("three requests took %d connections, want %d", len(remotes), tc.want)
			}
		})
	}
}

// A proxy talks to one host: as many connections as were busy at once are there for the next wave.
func TestBusyConnectionsAreKept(t *testing.T) {
	const clients = 100
	var mu sync.Mutex
	remotes := map[string]bool{}
	var wave atomic.Pointer[sync.WaitGroup]
	back := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		remotes[r.RemoteAddr] = true
		mu.Unlock()
		all := wave.Load()
		all.Done()
		all.Wait()
		w.WriteHeader(http.StatusNoContent) // a connection without a body to read is free before its answer is seen
	})
	c := newClient(t, upstream.Settings{Address: back.URL})
	for range 2 {
		var arrived, done sync.WaitGroup
		arrived.Add(clients)
		wave.Store(&arrived)
		for range clients {
			done.Go(func() {
				if _, err := ask(t, c); err != nil {
					t.Error(err)
				}
			})
		}
		done.Wait()
	}
	if len(remotes) != clients {
		t.Errorf("two waves of %d requests took %d connections", clients, len(remotes))
	}
}

// answerSRV is a DNS server that names localhost and the port for every question.
func answerSRV(port uint16) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe() // no packets, so DNS puts the length in front of each message
		go func() {
			defer far.Close()
			var size [2]byte
			if _, err := io.ReadFull(far, size[:]); err != nil {
				return
			}
			msg := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(far, msg); err != nil {
				return
			}
			end := 12 // the header; then the question's name, type and class
			for msg[end] != 0 {
				end += int(msg[end]) + 1
			}
			answer := append([]byte{msg[0], msg[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}, msg[12:end+5]...)
			answer = append(answer, 0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 1, 0, 17, 0, 1, 0, 1) // name, SRV, IN, TTL, length, priority, weight
			answer = binary.BigEndian.AppendUint16(answer, port)
			answer = append(answer, "\x09localhost\x00"...)
			_, _ = far.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
		}()
		return near, nil
	}
}
