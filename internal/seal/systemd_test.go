package seal_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"leasehold/internal/seal"
)

// credentials is what systemd does for a unit: a directory with a file for each credential.
func credentials(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if name == "" {
		return
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestACredentialIsReadAsSystemdWritesIt(t *testing.T) {
	line := base64.StdEncoding.EncodeToString([]byte(secret))
	for name, mode := range map[string]os.FileMode{"owned by the unit's user": 0o400, "with an ACL for the unit's user": 0o440} {
		t.Run(name, func(t *testing.T) {
			credentials(t, "leasehold-state-key", line+"\n", mode)
			if !seal.HasCredential("leasehold-state-key") {
				t.Error("it is said not to be there")
			}
			k, err := seal.OpenCredential("leasehold-state-key")
			if err != nil {
				t.Fatal(err)
			}
			if k.Derive("x") != keyOf(t, secret).Derive("x") {
				t.Error("it was read as another key than in a key file")
			}
		})
	}
}

func TestACredentialIsRefusedWithARemedy(t *testing.T) {
	line := base64.StdEncoding.EncodeToString([]byte(secret))
	const (
		encrypt = "`openssl rand -base64 32 | systemd-creds encrypt --name=key - /etc/credstore.encrypted/key`"
		load    = "add LoadCredentialEncrypted=key:/etc/credstore.encrypted/key to the unit, made with " + encrypt
		anew    = `systemd credential "key": it does not hold 32 bytes in base64; make it anew with ` + encrypt
		access  = "gives others access; let systemd provide it, with mode 0400 or 0440, and replace the key if it may be known"
		badName = "it must be the name of a file, without a directory"
	)
	for name, tc := range map[string]struct {
		credential string
		prepare    func(t *testing.T)
		has        bool
		want       string
	}{
		"not of systemd": {"key", func(t *testing.T) { t.Setenv("CREDENTIALS_DIRECTORY", "") }, false,
			`systemd credential "key": $CREDENTIALS_DIRECTORY is not set, so this process was not started by systemd with a credential; ` + load},
		"not in the unit":         {"key", func(t *testing.T) { credentials(t, "", "", 0) }, false, `systemd credential "key": the unit does not have it; ` + load},
		"writable for the group":  {"key", func(t *testing.T) { credentials(t, "key", line, 0o460) }, true, `systemd credential "key": its mode 0460 ` + access},
		"readable for others":     {"key", func(t *testing.T) { credentials(t, "key", line, 0o444) }, true, `systemd credential "key": its mode 0444 ` + access},
		"empty":                   {"key", func(t *testing.T) { credentials(t, "key", "", 0o400) }, true, anew},
		"the bare bytes":          {"key", func(t *testing.T) { credentials(t, "key", secret, 0o400) }, true, anew},
		"half a key":              {"key", func(t *testing.T) { credentials(t, "key", line[:20], 0o400) }, true, anew},
		"much too long":           {"key", func(t *testing.T) { credentials(t, "key", line+strings.Repeat("\n", 200), 0o400) }, true, anew},
		"a directory":             {"", func(t *testing.T) { credentials(t, "", "", 0) }, false, `systemd credential "": ` + badName},
		"the directory itself":    {".", func(t *testing.T) { credentials(t, "", "", 0) }, false, `systemd credential ".": ` + badName},
		"the directory above":     {"..", func(t *testing.T) { credentials(t, "", "", 0) }, false, `systemd credential "..": ` + badName},
		"in a directory":          {"a/key", func(t *testing.T) { credentials(t, "", "", 0) }, false, `systemd credential "a/key": ` + badName},
		"in a directory, Windows": {`a\key`, func(t *testing.T) { credentials(t, "", "", 0) }, false, `systemd credential "a\\key": ` + badName},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(tc.want, "its mode") {
				t.Skip("no such bits")
			}
			tc.prepare(t)
			if got := seal.HasCredential(tc.credential); got != tc.has {
				t.Errorf("HasCredential = %t, want %t", got, tc.has)
			}
			k, err := seal.OpenCredential(tc.credential)
			if k != nil || err == nil || err.Error() != tc.want {
				t.Errorf("error = %v\nwant    %s", err, tc.want)
			}
		})
	}
}

func TestACredentialIsNeverMade(t *testing.T) {
	credentials(t, "", "", 0)
	if _, err := seal.OpenCredential("key"); err == nil {
		t.Error("it was made up")
	}
	if seal.HasCredential("key") {
		t.Error("a file was left behind")
	}
}
