package seal_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"leasehold/internal/seal"
)

func TestKeyFileIsMadeOnFirstUse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	first, err := seal.OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode(); mode != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("its mode is %v", mode)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text))); err != nil || len(b) != 32 {
		t.Errorf("it holds %d bytes, %v, want 32 in base64", len(b), err)
	}
	again, err := seal.OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := seal.OpenKeyFile(filepath.Join(dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	if first.Derive("x") != again.Derive("x") {
		t.Error("the second start has another key")
	}
	if first.Derive("x") == other.Derive("x") {
		t.Error("two new files hold the same key")
	}
}

func TestKeyFileMayBeWrittenByHand(t *testing.T) {
	want := keyOf(t, secret).Derive("x")
	line := base64.StdEncoding.EncodeToString([]byte(secret))
	for name, text := range map[string]string{
		"without line end": line,
		"with line end":    line + "\n",
		"from Windows":     line + "\r\n",
		"indented":         "  " + line + " \n\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, link := filepath.Join(dir, "..data"), filepath.Join(dir, "key")
			if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(path, link); err != nil { // as Kubernetes mounts secrets
				t.Skip(err)
			}
			k, err := seal.OpenKeyFile(link)
			if err != nil {
				t.Fatal(err)
			}
			if k.Derive("x") != want {
				t.Error("it was read as another key")
			}
		})
	}
}

func TestKeyFileIsRefusedWithARemedy(t *testing.T) {
	line := base64.StdEncoding.EncodeToString([]byte(secret))
	file := func(text string, mode os.FileMode) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil { // whatever the umask
				t.Fatal(err)
			}
		}
	}
	const wrongSize = "restore it, or write a new key with `openssl rand -base64 32`"
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, path string)
		want    string
	}{
		"the group can read it":    {file(line, 0o640), "mode 0640 gives others access; run chmod 600"},
		"the world can read it":    {file(line, 0o604), "mode 0604 gives others access; run chmod 600"},
		"the world can write it":   {file(line, 0o602), "mode 0602 gives others access; run chmod 600"},
		"empty":                    {file("", 0o600), wrongSize},
		"half a key":               {file(line[:20], 0o600), wrongSize},
		"the bare bytes":           {file(secret, 0o600), wrongSize},
		"a byte short":             {file(base64.StdEncoding.EncodeToString([]byte(secret[1:])), 0o600), wrongSize},
		"a byte long":              {file(base64.StdEncoding.EncodeToString([]byte(secret+"w")), 0o600), wrongSize},
		"in another alphabet":      {file(strings.Repeat("_", 43)+"=", 0o600), wrongSize},
		"not quite base64":         {file(line[:42]+"B=", 0o600), wrongSize}, // stray bits at the end
		"a passphrase":             {file("correct horse battery staple", 0o600), wrongSize},
		"a line and much more":     {file(line+strings.Repeat("\n", 100)+"more", 0o600), wrongSize},
		"a directory":              {func(t *testing.T, path string) { mkdir(t, path) }, "not a regular file; name one"},
		"in a missing directory":   {nil, "create it, closed to other users"},
		"its directory is no such": {func(t *testing.T, path string) { file("", 0o600)(t, filepath.Dir(path)) }, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(tc.want, "chmod") {
				t.Skip("no such bits")
			}
			path := filepath.Join(t.TempDir(), "dir", "key")
			if tc.prepare != nil && tc.want != "not a directory" {
				mkdir(t, filepath.Dir(path))
			}
			if tc.prepare != nil {
				tc.prepare(t, path)
			}
			_, err := seal.OpenKeyFile(path)
			if err == nil {
				t.Fatal("it was accepted")
			}
			if msg := err.Error(); !strings.Contains(msg, tc.want) || !strings.HasPrefix(msg, "key file "+path+": ") {
				t.Errorf("error = %s\nwant the path and: %s", msg, tc.want)
			}
			if strings.Contains(err.Error(), line[:8]) || strings.Contains(err.Error(), secret[:8]) {
				t.Errorf("the key shows in %s", err)
			}
		})
	}
}

func mkdir(t *testing.T, path string) {
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}
