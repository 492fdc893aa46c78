package encrypted_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"leasehold/internal/autoauth/sink/encrypted"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParsePrivate(t *testing.T) {
	own := newKey(t)
	text := base64.StdEncoding.EncodeToString(own.Bytes())
	public := string(own.PublicKey().Bytes())
	ours, err := encrypted.EncodePrivate(own)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile("testdata/openssl.pem") // openssl genpkey -algorithm X25519
	if err != nil {
		t.Fatal(err)
	}
	pub, err := os.ReadFile("testdata/openssl.pub") // openssl pkey -pubout -outform DER | tail -c 32 | base64
	if err != nil {
		t.Fatal(err)
	}
	opensslPublic, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(pub)))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ content, public string }{
		"ours":              {string(ours), public},
		"base64":            {text, public},
		"base64, a newline": {text + "\n", public},
		"openssl":           {string(pem), string(opensslPublic)},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := encrypted.ParsePrivate([]byte(tc.content))
			if err != nil {
				t.Fatal(err)
			}
			if string(k.PublicKey().Bytes()) != tc.public {
				t.Error("it is another key")
			}
		})
	}
	for name, content := range map[string]string{
		"nothing":          "",
		"null":             "null",
		"the public half":  `{"curve25519_public_key":"` + text + `"}`,
		"too short":        text[:40],
		"some other PEM":   "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"words":            "hunter2 is my secret",
		"JSON of bad data": `{"curve25519_private_key":"hunter2"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := encrypted.ParsePrivate([]byte(content)); err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("ParsePrivate = %v, want an error without the content", err)
			}
		})
	}
}

func TestEncodePublicIsWhatVaultsClientsWrite(t *testing.T) {
	own := newKey(t)
	got, err := encrypted.EncodePublic(own.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"curve25519_public_key":"` + base64.StdEncoding.EncodeToString(own.PublicKey().Bytes()) + "\"}\n"
	if string(got) != want || !json.Valid(got) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestReadFileIsBoundedAndWaitsForNobody(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		dir:                "not a regular file",
		"/dev/null":        "not a regular file",
		dir + "/not-there": "no such file",
	} {
		if _, err := encrypted.ReadFile(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want ...%s...", path, err, want)
		}
	}
}
