package config_test

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/config"
)

func TestSockets(t *testing.T) {
	const unix = "listener \"unix\" {\n  tls_disable = true\n  address = \"/run/l.sock\"\n"
	const pair = "listener \"tcp\" {\n  tls_cert_file = \"c\"\n  tls_key_file = \"k\"\n"
	const plain = "listener \"tcp\" {\n  tls_disable = true\n"
	for name, tc := range map[string]struct{ src, want string }{
		"nobody may connect":       {unix + "  socket_mode = \"0444\"\n}", "socket_mode = 0444 lets nobody connect"},
		"a decimal mode":           {unix + "  socket_mode = 400\n}", "socket_mode = 400 is a decimal number"},
		"a URL":                    {"listener \"unix\" {\n  tls_disable = true\n  address = \"unix:///run/l\"\n}", `write address = "/run/l"`},
		"an abstract socket":       {"listener \"unix\" {\n  tls_disable = true\n  address = \"@l\"\n  socket_mode = \"0600\"\n}", "an abstract socket has no socket_mode"},
		"versions":                 {pair + "  tls_max_version = \"tls11\"\n}", "t.hcl:4: listener: tls_min_version tls12 is above tls_max_version tls11"},
		"an old version":           {pair + "  tls_min_version = \"tls10\"\n}", "no longer safe"},
		"a suite's near name":      {pair + "  tls_cipher_suites = \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265\"\n}", `did you mean "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"?`},
		"a suite of TLS 1.3":       {pair + "  tls_cipher_suites = \"TLS_AES_128_GCM_SHA256\"\n}", "the suites of TLS 1.3 are always on"},
		"a suite not for HTTP/2":   {pair + "  tls_cipher_suites = \"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA\"\n}", "is forbidden for HTTP/2"},
		"an unsafe suite":          {pair + "  tls_cipher_suites = \"TLS_RSA_WITH_RC4_128_SHA\"\n}", "is not safe"},
		"a CA for nobody":          {pair + "  tls_client_ca_file = \"ca\"\n}", "verifies nobody without"},
		"clients without TLS":      {plain + "  tls_require_and_verify_client_cert = true\n}", "cannot be kept with tls_disable"},
		"a template without end":   {plain + "  address = \"{{ range 1000000000 }}{{ end }}\"\n}", "unable to parse address template"},
		"a template that grows":    {plain + "  address = \"{{ \\\"x\\\" | printf }}\"\n}", "unable to parse address template"},
		"a template of no address": {plain + "  address = \"{{ GetInterfaceIP \\\"nosuch0\\\" }}\"\n}", "finds no address"},
		"a template of several":    {plain + "  address = \"{{ GetAllInterfaces | join \\\"name\\\" \\\" \\\" }} x\"\n}", "please configure one"},
		"a template without port":  {plain + "  address = \"{{ GetAllInterfaces | include \\\"name\\\" \\\"^lo$\\\" | include \\\"type\\\" \\\"IPv4\\\" | attr \\\"address\\\" }}\"\n}", "which is not host:port"},
		"forwarded for":            {plain + "  x_forwarded_for_authorized_addrs = \"10.0.0.0/8\"\n}", "api_proxy.x_forwarded_for says"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Parse("t.hcl", []byte("cache {}\n"+tc.src), config.Options{LookupEnv: env{}.lookup})
			got := fmt.Sprint(err)
			if err == nil {
				got = fmt.Sprint(cfg.Warnings)
			}
			if want := strings.Replace(tc.want, "t.hcl:4", "t.hcl:5", 1); !strings.Contains(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestSocketsArrive(t *testing.T) {
	const src = `
listener "unix" {
  address      = "/run/l.sock"
  socket_mode  = "0660"
  socket_user  = "app"
  socket_group = 1000
  tls_cert_file = "c"
  tls_key_file = "k"
  tls_min_version = "tls13"
  tls_cipher_suites = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
  tls_require_and_verify_client_cert = true
  tls_client_ca_file = "ca"
  systemd_socket = "l"
  max_request_duration = "90s"
}
listener "tcp" {
  address = "{{ GetAllInterfaces | include \"name\" \"^lo$\" | include \"type\" \"IPv4\" | attr \"address\" }}:8300"
  tls_disable = true
}
cache {}`
	cfg, err := config.Parse("t.hcl", []byte(src), config.Options{LookupEnv: env{}.lookup})
	if err != nil || len(cfg.Warnings) > 0 {
		t.Fatal(err, cfg)
	}
	l := cfg.Listeners[0]
	if l.Type != "unix" || l.Address != "/run/l.sock" || l.SocketMode != 0o660 || l.SocketUser != "app" || l.SocketGroup != "1000" || l.SystemdSocket != "l" ||
		l.MaxDuration.String() != "1m30s" {
		t.Errorf("unix = %+v", l)
	}
	if l.TLSMinVersion != tls.VersionTLS13 || !l.RequireClientCert || l.TLSClientCAFile != "ca" ||
		!slices.Equal(l.TLSCipherSuites, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}) {
		t.Errorf("TLS = %+v", l)
	}
	if got := cfg.Listeners[1].Address; got != "127.0.0.1:8300" {
		t.Errorf("template = %s", got)
	}
}

// Whatever the template, it ends, and says no more than a line.
func FuzzAddressTemplate(f *testing.F) {
	for _, s := range []string{"{{ GetPrivateIP }}:8200", "{{ GetAllInterfaces | sort \"default\" | limit 1 | attr \"address\" }}:1", "{{", "{{ range 9 }}", "{{ $a := 1 }}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		_, err := config.Parse("t.hcl", fmt.Appendf(nil, "cache {}\nlistener \"tcp\" {\n  tls_disable = true\n  address = %q\n}", address), config.Options{LookupEnv: env{}.lookup})
		if err != nil && len(err.Error()) > 2000 {
			t.Errorf("%d bytes of error", len(err.Error()))
		}
	})
}
