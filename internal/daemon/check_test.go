package daemon_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leasehold/internal/config"
	"leasehold/internal/daemon"
)

var checked = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// storePair writes a certificate that ends some time after checked, and its key.
func storePair(t *testing.T, dir, name string, life time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: checked.Add(-365 * 24 * time.Hour), NotAfter: checked.Add(life)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for end, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name+end), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	storePair(t, dir, "good", 90*24*time.Hour)
	storePair(t, dir, "other", 90*24*time.Hour)
	storePair(t, dir, "soon", 29*24*time.Hour)
	storePair(t, dir, "ended", -time.Hour)
	for name, text := range map[string]string{
		"empty": "", "locked.key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open, err := os.ReadFile(filepath.Join(dir, "good.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "open.key"), open, 0o644); err != nil {
		t.Fatal(err)
	}
	listener := func(cert, key string) string {
		return fmt.Sprintf("listener \"tcp\" {\n  tls_cert_file = %q\n  tls_key_file = %q\n}\n", "DIR/"+cert, "DIR/"+key)
	}
	const plain = "listener \"tcp\" { tls_disable = true }\n"
	login := func(sink string) string {
		return fmt.Sprintf("auto_auth {\n  method \"token_file\" { config = { token_file_path = %q } }\n  sink \"file\" {\n    config = {\n      path = %q\n%s    }\n  }\n}\n",
			"DIR/empty", "DIR/token", sink)
	}
	for name, c := range map[string]struct{ file, errors, warnings string }{
		"good":                   {file: listener("good.crt", "good.key")},
		"no certificate":         {listener("gone.crt", "good.key"), "t.hcl:2: listener: the certificate: open DIR/gone.crt", ""},
		"neither":                {listener("gone.crt", "gone.key"), "t.hcl:2: listener: the certificate: open DIR/gone.crt|t.hcl:3: listener: the key: open DIR/gone.key", ""},
		"another's key":          {listener("good.crt", "other.key"), "t.hcl:2: listener: DIR/good.crt and DIR/other.key are no pair", ""},
		"encrypted key":          {listener("good.crt", "locked.key"), "t.hcl:3: listener: the key DIR/locked.key is encrypted", ""},
		"ended":                  {listener("ended.crt", "ended.key"), "t.hcl:2: listener: the certificate DIR/ended.crt ended on 2026-02-28T23:00:00Z", ""},
		"ends soon":              {listener("soon.crt", "soon.key"), "", "t.hcl:2: listener: the certificate DIR/soon.crt ends on 2026-03-30T00:00:00Z"},
		"key that all can read":  {listener("good.crt", "open.key"), "", "t.hcl:3: listener: the key DIR/open.key has mode 0644"},
		"no CA":                  {plain + "vault { ca_cert = \"DIR/empty\" }\n", "t.hcl:2: vault: ca_cert: DIR/empty holds no certificate", ""},
		"CA directory":           {plain + "vault { ca_path = \"DIR/gone\" }\n", "t.hcl:2: vault: ca_path: DIR/gone: ", ""},
		"good CA":                {file: plain + "vault { ca_cert = \"DIR/good.crt\" }\n"},
		"client pair":            {plain + "vault {\n  client_cert = \"DIR/good.crt\"\n  client_key = \"DIR/other.key\"\n}\n", "t.hcl:3: vault: DIR/good.crt and DIR/other.key are no pair", ""},
		"pid file":               {plain + "pid_file = \"DIR/gone/pid\"\n", "t.hcl:2: the directory of pid_file: stat DIR/gone", ""},
		"log file":               {plain + "log_file = \"DIR/gone/log\"\n", "t.hcl:2: the directory of log_file: stat DIR/gone", ""},
		"persist":                {plain + "cache {\n  persist \"file\" {\n    path = \"DIR/gone\"\n    key_file = \"DIR/k\"\n  }\n}\n", "t.hcl:4: cache: persist.path: stat DIR/gone", ""},
		"socket":                 {plain + "listener \"unix\" {\n  address = \"DIR/gone/s\"\n  tls_disable = true\n}\n", "t.hcl:3: listener: the directory of the socket: stat DIR/gone", ""},
		"socket's user":          {plain + "listener \"unix\" {\n  address = \"DIR/s\"\n  tls_disable = true\n  socket_user = \"no-such-user\"\n}\n", "t.hcl:5: listener: socket_user: there is no user \"no-such-user\"", ""},
		"socket's group":         {plain + "listener \"unix\" {\n  address = \"DIR/s\"\n  tls_disable = true\n  socket_group = \"no-such-group\"\n}\n", "t.hcl:5: listener: socket_group: there is no group", ""},
		"socket's numbers":       {file: plain + "listener \"unix\" {\n  address = \"DIR/s\"\n  tls_disable = true\n  socket_user = 65534\n  socket_group = \"65534\"\n}\n"},
		"a file for a socket":    {plain + "listener \"unix\" {\n  address = \"DIR/empty\"\n  tls_disable = true\n}\n", "t.hcl:3: listener: DIR/empty is there and is no socket", ""},
		"pid file, a directory":  {plain + "pid_file = \"DIR\"\n", "t.hcl:2: pid_file: DIR is no regular file", ""},
		"pid file, a device":     {plain + "pid_file = \"/dev/null\"\n", "t.hcl:2: pid_file: /dev/null is no regular file", ""},
		"pid file that is there": {file: plain + "pid_file = \"DIR/empty\"\n"},
		"log file, a directory":  {plain + "log_file = \"DIR\"\n", "t.hcl:2: log_file: DIR is a directory", ""},
		"log file, a device":     {file: plain + "log_file = \"/dev/null\"\n"},
		"several": {
			"pid_file = \"DIR/gone/pid\"\nlog_file = \"DIR\"\nlistener \"unix\" {\n  address = \"DIR/s\"\n  tls_disable = true\n  socket_user = \"no-such-user\"\n  socket_group = \"no-such-group\"\n}\n",
			"t.hcl:6: listener: socket_user: |t.hcl:7: listener: socket_group: |t.hcl:1: the directory of pid_file: stat DIR/gone|t.hcl:2: log_file: DIR is a directory", "",
		},
		"abstract socket":      {file: "listener \"unix\" {\n  address = \"@leasehold\"\n  tls_disable = true\n}\n"},
		"no CA of a collector": {plain + "telemetry {\n otlp {\n endpoint = \"https://c\"\n ca_cert = \"DIR/empty\"\n }\n}\n", "t.hcl:5: telemetry: otlp.ca_cert: DIR/empty holds no certificate", ""},
		"client CA": {
			strings.Replace(listener("good.crt", "good.key"), "}", "tls_require_and_verify_client_cert = true\ntls_client_ca_file = \"DIR/empty\"\n}", 1),
			"t.hcl:5: listener: tls_client_ca_file: DIR/empty holds no certificate", "",
		},
		"sink":         {file: login("")},
		"sink's owner": {login("owner = \"no-such-user\"\n"), "t.hcl:6: auto_auth: sink.config.owner: there is no user \"no-such-user\"", ""},
		"sink's group": {login("group = \"no-such-group\"\n"), "t.hcl:6: auto_auth: sink.config.group: there is no group", ""},
		"credentials":  {strings.Replace(login(""), "DIR/empty", "DIR/late", 1), "", "t.hcl:2: auto_auth: method.config.token_file_path: there is no file DIR/late"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Parse("t.hcl", []byte(strings.ReplaceAll(c.file, "DIR", dir)), config.Options{Sources: true, LookupEnv: func(string) (string, bool) { return "", false }})
			if err != nil {
				t.Fatal(err)
			}
			found := daemon.Check(cfg, checked)
			begins(t, found.Errors, strings.ReplaceAll(c.errors, "DIR", dir))
			begins(t, found.Warnings, strings.ReplaceAll(c.warnings, "DIR", dir))
		})
	}
}

// begins compares problems with how each of them must begin, between bars.
func begins(t *testing.T, got []config.Problem, want string) {
	t.Helper()
	var wants []string
	if want != "" {
		wants = strings.Split(want, "|")
	}
	if len(got) != len(wants) {
		t.Fatalf("got %v, want %q", got, wants)
	}
	for i, p := range got {
		if !strings.HasPrefix(p.String(), wants[i]) || p.Remedy == "" {
			t.Errorf("got %s\nwant %s", p, wants[i])
		}
	}
}
