package upstream_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/upstream"
)

// Certificates expire and are replaced: what is new counts for new connections, and what cannot be read leaves things as they are.
func TestTLSFilesAreReadAgain(t *testing.T) {
	v, other := newTLSVault(t), newTLSVault(t)
	var log bytes.Buffer
	c, err := upstream.New(upstream.Settings{
		Address: v.URL, CACert: v.ca, CAPath: v.caDir, ClientCert: v.cert, ClientKey: v.key,
		Product: "Leasehold/1.2.3", Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	presented := func() string {
		w, err := ask(t, c)
		if err != nil {
			t.Fatal(err)
		}
		return w.Header().Get("X-Serial")
	}
	v.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Serial", fmt.Sprintf("%x", sha256.Sum256(r.TLS.PeerCertificates[0].Raw)))
	})
	copyFile := func(to, from string) {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Hour) // whatever the file system's clock can tell apart
		if err := os.Chtimes(to, later, later); err != nil {
			t.Fatal(err)
		}
	}
	first := presented()
	c.ReloadTLS()
	if presented() != first || log.Len() > 0 {
		t.Errorf("without a change: another certificate, or log %s", &log)
	}
	copyFile(v.cert, other.cert)
	c.ReloadTLS()
	c.ReloadTLS()
	if presented() != first || strings.Count(log.String(), "level=WARN") != 1 {
		t.Errorf("a certificate without its key: another certificate, or log %s", &log)
	}
	copyFile(v.key, other.key)
	c.ReloadTLS()
	if presented() == first || strings.Count(log.String(), "read again") != 1 {
		t.Errorf("the whole pair: the old certificate, or log %s", &log)
	}
}

func TestTLSFilesAreLookedAt(t *testing.T) {
	ca := newTLSVault(t).ca
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c, err := upstream.New(upstream.Settings{
			CACert: ca, Transport: &cluster{}, Product: "Leasehold/1.2.3", Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		stop := trio{Client: c}.run(t)
		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(ca, later, later); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		stop()
		if !strings.Contains(log.String(), "read again") {
			t.Errorf("log: %s", &log)
		}
	})
}
