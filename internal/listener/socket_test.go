package listener_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"leasehold/internal/listener"
)

func unixSettings(t *testing.T) listener.Settings {
	t.Helper()
	dir, err := os.MkdirTemp("", "lh") // a test's own directory may have too long a name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return listener.Settings{Unix: true, Address: filepath.Join(dir, "s.sock")}
}

func TestAUnixSocketComesAndGoes(t *testing.T) {
	s := unixSettings(t)
	s.SocketMode = 0o660
	ln := open(t, s)
	info, err := os.Lstat(s.Address)
	if err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Fatalf("file = %v, %v", info, err)
	}
	if got := ln.Addr().String(); got != s.Address {
		t.Errorf("address = %s, want %s", got, s.Address)
	}
	conn, err := net.Dial("unix", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(filepath.Dir(s.Address))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWhatIsAtThePathAlready(t *testing.T) {
	s := unixSettings(t)
	open(t, s)
	_, err := listener.Open(t.Context(), s)
	if want := "listener: " + s.Address + " is in use by another process; stop it or choose another path"; err == nil || err.Error() != want {
		t.Errorf("a live socket: %v, want %s", err, want)
	}
	stale := unixSettings(t)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale.Address, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	open(t, stale)
	file := unixSettings(t)
	if err := os.WriteFile(file.Address, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = listener.Open(t.Context(), file)
	if want := "listener: " + file.Address + " is there and is no socket; remove it, or choose another path"; err == nil || err.Error() != want {
		t.Errorf("a file: %v, want %s", err, want)
	}
	if text, err := os.ReadFile(file.Address); string(text) != "precious" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

func TestAUnixSocketThatCannotBe(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*listener.Settings)
		want   string
	}{
		"long":       {func(s *listener.Settings) { s.Address += strings.Repeat("x", 100) }, "; choose a shorter one"},
		"directory":  {func(s *listener.Settings) { s.Address += "/none/s" }, "; its directory must exist, and Leasehold must be allowed to write in it"},
		"user":       {func(s *listener.Settings) { s.SocketUser = "nobody-of-that-name" }, `no user "nobody-of-that-name" of this machine`},
		"group":      {func(s *listener.Settings) { s.SocketGroup = "no-group-of-that-name" }, `no group "no-group-of-that-name" of this machine`},
		"activation": {func(s *listener.Settings) { s.SystemdSocket = "none" }, `handed over no socket named "none"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := unixSettings(t)
			dir := filepath.Dir(s.Address)
			tc.change(&s)
			_, err := listener.Open(t.Context(), s)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want %s", err, tc.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// A file that somebody else has put at the path meanwhile is his.
func TestClosingLeavesAnothersSocket(t *testing.T) {
	s := unixSettings(t)
	ln := open(t, s)
	if err := os.Remove(s.Address); err != nil {
		t.Fatal(err)
	}
	open(t, s)
	_ = ln.Close()
	if _, err := os.Lstat(s.Address); err != nil {
		t.Error(err)
	}
}

// served is a Serve of an open socket until the test ends.
func served(t *testing.T, ln net.Listener, s listener.Settings, h http.HandlerFunc) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- listener.Serve(ctx, ln, h, s, time.Second, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// copyPair puts the pair of another into the files of s.
func copyPair(t *testing.T, s listener.Settings, cert, key string) {
	t.Helper()
	for from, to := range map[string]string{cert: s.CertFile, key: s.KeyFile} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// New certificates are taken up from changed files and by Reload, while every request under load is answered.
func TestCertificatesAreReloadedUnderLoad(t *testing.T) {
	for name, reload := range map[string]bool{"when the files change": false, "by Reload": true} {
		t.Run(name, func(t *testing.T) {
			s := listener.Settings{Address: "127.0.0.1:0", FileInterval: time.Millisecond}
			if reload {
				s.FileInterval = -1
			}
			s.CertFile, s.KeyFile, _ = keyPair(t, "one")
			ln, err := listener.Open(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			served(t, ln, s, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "whole") })
			stop, load := make(chan struct{}), sync.WaitGroup{}
			for range 4 {
				load.Go(func() {
					transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
					client := &http.Client{Transport: transport}
					for {
						select {
						case <-stop:
							return
						default:
						}
						resp, err := client.Get("https://" + ln.Addr().String())
						if err != nil {
							t.Error(err)
							return
						}
						body, err := io.ReadAll(resp.Body)
						_ = resp.Body.Close()
						if string(body) != "whole" || err != nil {
							t.Errorf("body = %q, %v", body, err)
						}
					}
				})
			}
			cert, key, roots := keyPair(t, "two")
			copyPair(t, s, cert, s.KeyFile) // half of it
			if reload {
				if err := ln.Reload(s); err == nil {
					t.Error("a pair that does not fit was taken")
				}
			}
			copyPair(t, s, cert, key)
			if reload {
				if err := ln.Reload(s); err != nil {
					t.Error(err)
				}
			}
			deadline := time.Now().Add(10 * time.Second)
			for {
				conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: roots})
				if err == nil {
					_ = conn.Close()
					break
				}
				if reload || time.Now().After(deadline) {
					t.Errorf("the new certificate is not used: %v", err)
					break
				}
			}
			close(stop)
			load.Wait()
		})
	}
}

func TestReloadKeepsTheSocket(t *testing.T) {
	s := listener.Settings{Address: "127.0.0.1:0"}
	ln, err := listener.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := ln.Reload(s); err != nil {
		t.Error(err)
	}
	s.CertFile, s.KeyFile, _ = keyPair(t, "one")
	if err := ln.Reload(s); err == nil || !strings.HasSuffix(err.Error(), "; restart Leasehold") {
		t.Errorf("error = %v", err)
	}
}

func TestClientCertificates(t *testing.T) {
	cert, key, roots := keyPair(t, "server")
	clientCert, clientKey, _ := keyPair(t, "client")
	mine, err := tls.LoadX509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	other, otherKey, _ := keyPair(t, "other")
	others, err := tls.LoadX509KeyPair(other, otherKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		s    listener.Settings
		show []tls.Certificate
		want string // the certificates that the handler sees; "refused"
	}{
		"required and shown":     {listener.Settings{RequireClientCert: true, ClientCAFile: clientCert}, []tls.Certificate{mine}, "1"},
		"required and not shown": {listener.Settings{RequireClientCert: true, ClientCAFile: clientCert}, nil, "refused"},
		"required and another's": {listener.Settings{RequireClientCert: true, ClientCAFile: clientCert}, []tls.Certificate{others}, "refused"},
		"unknown to the system":  {listener.Settings{RequireClientCert: true}, []tls.Certificate{mine}, "refused"},
		"asked for by default":   {listener.Settings{}, []tls.Certificate{mine}, "1"},
		"not given by default":   {listener.Settings{}, nil, "0"},
		"not asked for":          {listener.Settings{DisableClientCerts: true}, []tls.Certificate{mine}, "0"},
		"of a low version":       {listener.Settings{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, nil, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := tc.s
			s.Address, s.CertFile, s.KeyFile = "127.0.0.1:0", cert, key
			ln := open(t, s)
			served(t, ln, s, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, strings.Repeat("1", len(r.TLS.PeerCertificates))+strings.Repeat("0", 1-len(r.TLS.PeerCertificates)))
			})
			transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(tc.show) == 0 {
					return &tls.Certificate{}, nil
				}
				return &tc.show[0], nil
			}}}
			got := "refused"
			if resp, err := (&http.Client{Transport: transport}).Get("https://" + ln.Addr().String()); err == nil {
				body, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				got = string(body)
			}
			if got != tc.want {
				t.Errorf("the handler sees %s, want %s", got, tc.want)
			}
		})
	}
}

func TestAnEncryptedKey(t *testing.T) {
	cert, key, _ := keyPair(t, "one")
	for _, text := range []string{"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
		"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n"} {
		if err := os.WriteFile(key, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := listener.Open(t.Context(), listener.Settings{Address: "127.0.0.1:0", CertFile: cert, KeyFile: key})
		if err == nil || !strings.Contains(err.Error(), "is encrypted; decrypt it") {
			t.Errorf("error = %v", err)
		}
	}
}
