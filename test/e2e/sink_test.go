package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/helper/dhutil"

	"leasehold/test/e2e/realvault"
)

// sinkStanza is a sink at path; more goes into its block.
func sinkStanza(path string, more ...string) string {
	return fmt.Sprintf("  sink \"file\" {\n    %s\n    config = { path = %q }\n  }\n", strings.Join(more, "\n    "), path)
}

// withSinks is a configuration that logs in with the role and has these sinks.
func withSinks(v *realvault.Server, r appRole, sinks ...string) string {
	return strings.Replace(keepingSecretID(caching(v.Address, r)), "  method", strings.Join(sinks, "")+"  method", 1)
}

// exists waits for a file.
func exists(t *testing.T, path string) {
	t.Helper()
	eventually(t, path+" is there", func() bool { _, err := os.Stat(path); return err == nil })
}

// wantLive expects a token that Vault knows.
func wantLive(t *testing.T, token string) {
	t.Helper()
	remember(token)
	if _, err := shared.Client().Auth().Token().Lookup(token); err != nil {
		t.Errorf("Vault does not know the token: %v", err)
	}
}

// unwrap does what the reader of a wrapped sink does: it looks at where the token comes from, and takes it, which works once.
func unwrap(t *testing.T, content string) string {
	t.Helper()
	var info map[string]any
	if err := json.Unmarshal([]byte(content), &info); err != nil {
		t.Fatalf("a wrapped sink holds %q", content)
	}
	var keys []string
	for key := range info {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if got := strings.Join(keys, " "); got != "accessor creation_path creation_time token ttl wrapped_accessor" || strings.Count(content, "\n") != 1 || !strings.HasSuffix(content, "\n") {
		t.Errorf("wrapped sink: %s", content)
	}
	token, _ := info["token"].(string)
	remember(token)
	c := shared.Client()
	seen, err := c.Logical().Write("sys/wrapping/lookup", map[string]any{"token": token})
	if err != nil || seen.Data["creation_path"] != "sys/wrapping/wrap" || info["creation_path"] != "sys/wrapping/wrap" || info["ttl"] != 300.0 {
		t.Errorf("lookup of the wrapping token: %+v, %v; the sink says %v", seen, err, info["creation_path"])
	}
	inside, err := c.Logical().Unwrap(token)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Logical().Unwrap(token); err == nil {
		t.Errorf("unwrapped twice: %v", again)
	}
	wrapped, _ := inside.Data["token"].(string)
	return wrapped
}

func TestSinkWrapped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bare, wrapped := filepath.Join(dir, "bare"), filepath.Join(dir, "wrapped")
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := startProxy(t, withSinks(shared, r, sinkStanza(bare), sinkStanza(wrapped, `wrap_ttl = "5m"`)))
	exists(t, bare)
	exists(t, wrapped)
	token := unwrap(t, readFile(t, wrapped))
	wantLive(t, token)
	if token != readFile(t, bare) {
		t.Error("the two sinks have different tokens")
	}
	for _, path := range []string{bare, wrapped} {
		eventually(t, "readyz says that the token is stored in "+path, func() bool {
			part, status := p.ready(t, "sink file "+path)
			return status == http.StatusOK && part.Ready && part.State == "token stored"
		})
	}
}

// A policy that forbids to wrap costs the sink, and nothing else; the log says what to do (hashicorp/vault#14926 is about the opposite: an end without a token).
func TestSinkThatMayNotWrap(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "wrapped")
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read", "sys/wrapping/wrap: deny"))
	p := startProxy(t, withSinks(shared, r, sinkStanza(path, `wrap_ttl = "5m"`)))
	p.waitLog(t, "let the token's policies update sys/wrapping/wrap")
	if part, status := p.ready(t, "sink file "+path); status != http.StatusServiceUnavailable || part.Ready || !strings.Contains(part.Reason, "permission denied") {
		t.Errorf("readyz = %d, %+v", status, part)
	}
	p.lease(t, "/v1/leaser/creds/no-wrapping?ttl=600")
}

func TestSinkWrappedWithExitAfterAuth(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "wrapped")
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := launch(t, "exit_after_auth = true\n"+withSinks(shared, r, sinkStanza(path, `wrap_ttl = 300`)))
	p.wantExit(t, 0)
	wantLive(t, unwrap(t, readFile(t, path)))
}

// dhClient is a client that uses Vault's own code.
type dhClient struct {
	public, private   []byte
	dhPath, keyPath   string
	derive            bool
	aad               string
	decryptArgs, keys []string // of leasehold sink decrypt, and of the stanza
}

func newDHClient(t *testing.T, derive bool, aad string) dhClient {
	t.Helper()
	dir := t.TempDir()
	c := dhClient{dhPath: filepath.Join(dir, "public.json"), keyPath: filepath.Join(dir, "private"), derive: derive, aad: aad}
	var err error
	if c.public, c.private, err = dhutil.GeneratePublicPrivateKey(); err != nil {
		t.Fatal(err)
	}
	info, err := json.Marshal(dhutil.PublicKeyInfo{Curve25519PublicKey: c.public})
	if err != nil {
		t.Fatal(err)
	}
	own, err := json.Marshal(c.private) // base64
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{c.dhPath: info, c.keyPath: bytes.Trim(own, `"`)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.keys = []string{`dh_type = "curve25519"`, fmt.Sprintf("dh_path = %q", c.dhPath), fmt.Sprintf("derive_key = %t", derive)}
	c.decryptArgs = []string{"sink", "decrypt", "-key", c.keyPath}
	if derive {
		c.decryptArgs = append(c.decryptArgs, "-derive-key")
	}
	if aad != "" {
		c.decryptArgs = append(c.decryptArgs, "-aad="+aad)
	}
	return c
}

// agree is the AES key.
func (c dhClient) agree(t *testing.T, private, ours, theirs []byte) []byte {
	t.Helper()
	key, err := dhutil.GenerateSharedSecret(private, theirs)
	if err == nil && c.derive {
		key, err = dhutil.DeriveSharedKey(key, ours, theirs)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (c dhClient) decrypt(t *testing.T, content string) string {
	t.Helper()
	var e dhutil.Envelope
	if err := json.Unmarshal([]byte(content), &e); err != nil {
		t.Fatalf("an encrypted sink holds %q", content)
	}
	plain, err := dhutil.DecryptAES(c.agree(t, c.private, c.public, e.Curve25519PublicKey), e.EncryptedPayload, e.Nonce, []byte(c.aad))
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// encrypt is what Vault Agent's sink writes.
func (c dhClient) encrypt(t *testing.T, plain string) string {
	t.Helper()
	public, private, err := dhutil.GeneratePublicPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	e := dhutil.Envelope{Curve25519PublicKey: public}
	if e.EncryptedPayload, e.Nonce, err = dhutil.EncryptAES(c.agree(t, private, public, c.public), []byte(plain), []byte(c.aad)); err != nil {
		t.Fatal(err)
	}
	content, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(content) + "\n"
}

// Who reads the sinks of Vault Agent, with Vault's code, reads ours, and our command reads both.
func TestSinkEncrypted(t *testing.T) {
	t.Parallel()
	for title, c := range map[string]struct {
		derive bool
		aad    string
		byEnv  bool
		wrap   bool
	}{
		"shared secret":              {},
		"derived key":                {derive: true},
		"AAD":                        {aad: "my context"},
		"derived key and AAD of env": {derive: true, aad: "from outside", byEnv: true},
		"wrapped":                    {derive: true, wrap: true},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			path, dh := filepath.Join(t.TempDir(), "token"), newDHClient(t, c.derive, c.aad)
			keys := dh.keys
			if c.aad != "" {
				keys = append(keys, fmt.Sprintf("aad = %q", c.aad))
			}
			if c.byEnv {
				keys[len(keys)-1] = "aad = \"the file's\"\n    aad_env_var = \"SINK_AAD\""
			}
			if c.wrap {
				keys = append(keys, `wrap_ttl = "5m"`)
			}
			r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
			startProxy(t, withSinks(shared, r, sinkStanza(path, keys...)), env("SINK_AAD="+c.aad))
			exists(t, path)
			content := readFile(t, path)
			plain := dh.decrypt(t, content)
			if printed := frank(t, 0, append(dh.decryptArgs, path)...); printed.out != plain || printed.err != "" {
				t.Errorf("sink decrypt printed %q and %q", printed.out, printed.err)
			}
			remember(plain)
			if token := plain; c.wrap {
				wantLive(t, unwrap(t, token))
			} else {
				wantLive(t, token)
			}
			const theirs = "hvs.as-vault-agent-writes-it"
			if err := os.WriteFile(path+".theirs", []byte(dh.encrypt(t, theirs)), 0o600); err != nil {
				t.Fatal(err)
			}
			if printed := leasehold(t, 0, append(dh.decryptArgs, path+".theirs")...); printed.out != theirs || printed.err != "" {
				t.Errorf("sink decrypt printed %q and %q", printed.out, printed.err)
			}
		})
	}
}

// The client may come after Leasehold. Until then the sink is missing, and readyz says so.
func TestSinkWaitsForItsClient(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, public, private := filepath.Join(dir, "token"), filepath.Join(dir, "public.json"), filepath.Join(dir, "private.json")
	r := newAppRole(t, shared, newPolicy(t, shared, "leaser/*: read"))
	p := startProxy(t, withSinks(shared, r, sinkStanza(path, `dh_type = "curve25519"`, fmt.Sprintf("dh_path = %q", public))))
	p.waitLog(t, "public key is missing")
	if part, status := p.ready(t, "sink file "+path); status != http.StatusServiceUnavailable || part.Ready || !strings.Contains(part.Reason, "public key is missing") {
		t.Errorf("readyz = %d, %+v", status, part)
	}
	if printed := leasehold(t, 0, "sink", "keygen", "-private", private, "-public", public); printed.out+printed.err != "" {
		t.Errorf("sink keygen printed %q and %q", printed.out, printed.err)
	}
	for file, want := range map[string]os.FileMode{private: 0o600, public: 0o644} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want mode %o", file, info, err, want)
		}
	}
	exists(t, path)
	eventually(t, "readyz is content", func() bool {
		part, status := p.ready(t, "sink file "+path)
		return status == http.StatusOK && part.Ready
	})
	wantLive(t, frank(t, 0, "sink", "decrypt", path, "-key="+private).out)

	before := readFile(t, private)
	wantSentence(t, leasehold(t, 1, "sink", "keygen", "-private", private, "-public", filepath.Join(dir, "another")), private+" exists; ")
	wantSentence(t, leasehold(t, 1, "sink", "keygen", "-private", filepath.Join(dir, "another"), "-public", public), public+" exists; ")
	if _, err := os.Stat(filepath.Join(dir, "another")); err == nil || readFile(t, private) != before {
		t.Error("a refused keygen left half a pair, or replaced a key")
	}
}

func TestSinkCommandWronglyUsed(t *testing.T) {
	t.Parallel()
	dh, dir := newDHClient(t, false, ""), t.TempDir()
	bare, sink := filepath.Join(dir, "bare"), filepath.Join(dir, "sink")
	for path, content := range map[string]string{bare: "hvs.bare-token-of-a-sink", sink: dh.encrypt(t, "hvs.encrypted-token-of-a-sink")} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for want, args := range map[string][]string{
		"cannot be decrypted: it was made for another key": {"-key", dh.keyPath, "-derive-key", sink},
		"or another AAD":               {"-key", dh.keyPath, "-aad=x", sink},
		"holds no private key":         {"-key", dh.dhPath, sink},
		"not an encrypted sink's file": {"-key", dh.keyPath, bare},
		"no such file or directory; name the file that belongs to the sink's dh_path": {"-key", filepath.Join(dir, "nowhere"), sink},
		"no such file or directory; name the file at path of the sink":                {"-key", dh.keyPath, filepath.Join(dir, "nowhere")},
		"is not a regular file":                   {"-key", dh.keyPath, dir},
		"-aad and -aad-env are both given; leave": {"-key", dh.keyPath, "-aad=x", "-aad-env=Y", sink},
	} {
		printed := leasehold(t, 1, append([]string{"sink", "decrypt"}, args...)...)
		wantSentence(t, printed, want)
		if strings.Contains(printed.err, "hvs.") {
			t.Errorf("a token is in %q", printed.err)
		}
	}
	for _, args := range [][]string{
		nil, {"encrypt"}, {"decrypt"}, {"decrypt", sink}, {"decrypt", "-key", dh.keyPath}, {"decrypt", "-key", dh.keyPath, sink, sink}, {"decrypt", "-frob", sink},
		{"keygen"}, {"keygen", "-private", sink}, {"keygen", "-private", "a", "-public", "b", "c"},
	} {
		if printed := leasehold(t, 1, append([]string{"sink"}, args...)...); printed.out != "" || strings.Count(printed.err, "usage: leasehold sink decrypt") != 1 {
			t.Errorf("%q printed %q and %q; want the usage once", args, printed.out, printed.err)
		}
	}
	if printed := leasehold(t, 0, "sink", "decrypt", "-h"); !strings.Contains(printed.out+printed.err, "usage: leasehold sink decrypt") {
		t.Errorf("-h printed %q and %q", printed.out, printed.err)
	}
}
