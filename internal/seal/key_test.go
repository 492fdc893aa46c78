package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leasehold/internal/seal"
)

// secret is what the tests' key files hold.
const secret = "0123456789abcdefghijklmnopqrstuv"

func keyOf(t testing.TB, secret string) *seal.Key {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString([]byte(secret))), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := seal.OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sealed(t testing.TB, k *seal.Key, plain, aad string) []byte {
	t.Helper()
	b, err := k.Seal([]byte(plain), []byte(aad))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatIsSealedOpensAgain(t *testing.T) {
	k := keyOf(t, secret)
	for name, plain := range map[string]string{"text": "hvs.token", "nothing": "", "much": strings.Repeat("x", 1<<20)} {
		t.Run(name, func(t *testing.T) {
			b := sealed(t, k, plain, "place")
			if len(b) != len(plain)+28 {
				t.Errorf("%d bytes became %d, want a nonce of 12 and a tag of 16 more", len(plain), len(b))
			}
			if plain != "" && bytes.Contains(b, []byte(plain)) {
				t.Error("the plain text shows")
			}
			got, err := keyOf(t, secret).Open(b, []byte("place")) // another process with the same file
			if err != nil || string(got) != plain {
				t.Errorf("opened %.20q, %v", got, err)
			}
		})
	}
}

func TestSealingTwiceDiffers(t *testing.T) {
	k := keyOf(t, secret)
	if bytes.Equal(sealed(t, k, "same", "place"), sealed(t, k, "same", "place")) {
		t.Error("a nonce was used twice")
	}
}

func TestTooLargeARecordIsRefused(t *testing.T) {
	if _, err := keyOf(t, secret).Seal(make([]byte, 64<<20+1), nil); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("error = %v", err)
	}
}

func TestOpenRefusesEverythingElse(t *testing.T) {
	k := keyOf(t, secret)
	good := sealed(t, k, "hvs.token", "place")
	for name, tc := range map[string]struct {
		key    *seal.Key
		sealed []byte
		aad    string
	}{
		"another key":     {keyOf(t, strings.ToUpper(secret)), good, "place"},
		"another place":   {k, good, "other"},
		"no place":        {k, good, ""},
		"nothing":         {k, nil, "place"},
		"less than a tag": {k, good[:27], "place"},
		"cut short":       {k, good[:len(good)-1], "place"},
		"with more":       {k, append(bytes.Clone(good), 0), "place"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := tc.key.Open(tc.sealed, []byte(tc.aad)); !errors.Is(err, seal.ErrSealed) || got != nil {
				t.Errorf("opened %q, %v, want ErrSealed", got, err)
			}
		})
	}
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if got, err := k.Open(bad, []byte("place")); !errors.Is(err, seal.ErrSealed) || got != nil {
				t.Fatalf("with bit %d of byte %d flipped: opened %q, %v", bit, i, got, err)
			}
		}
	}
}

func TestDerivedSecretsDifferByPurposeAndKey(t *testing.T) {
	k := keyOf(t, secret)
	a := k.Derive("a")
	if again := keyOf(t, secret).Derive("a"); a != again {
		t.Error("the same key and purpose gave another secret")
	}
	if a == k.Derive("b") {
		t.Error("another purpose gave the same secret")
	}
	if a == keyOf(t, strings.ToUpper(secret)).Derive("a") {
		t.Error("another key gave the same secret")
	}
	if string(a[:]) == secret {
		t.Error("the secret is the key")
	}
}

func TestKeysOfPurposesAreApart(t *testing.T) {
	key, err := seal.OpenKeyFile(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	one, err1 := key.For("one")
	again, err2 := key.For("one")
	two, err3 := key.For("two")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	sealed, err := one.Seal([]byte("plain"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := again.Open(sealed, nil); err != nil || string(plain) != "plain" {
		t.Errorf("the key of the same purpose: %q, %v", plain, err)
	}
	for name, other := range map[string]*seal.Key{"another purpose": two, "the key itself": key} {
		if _, err := other.Open(sealed, nil); !errors.Is(err, seal.ErrSealed) {
			t.Errorf("%s opens it: %v", name, err)
		}
	}
}

func TestAKeyIsWhatItsSecretWas(t *testing.T) {
	text := [32]byte([]byte(secret))
	k, err := seal.NewKey(&text)
	if err != nil {
		t.Fatal(err)
	}
	clear(text[:])
	if k.Derive("x") != keyOf(t, secret).Derive("x") {
		t.Error("it is not the key of a file that holds the same")
	}
}

func TestNewSecretsDiffer(t *testing.T) {
	if one, two := seal.NewSecret(), seal.NewSecret(); *one == *two || *one == [32]byte{} {
		t.Errorf("made %x and %x", *one, *two)
	}
}

func TestKeyDoesNotPrintItself(t *testing.T) {
	k := keyOf(t, secret)
	type holder struct {
		Key   *seal.Key
		inner seal.Key
		link  *seal.Key
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "key", k, "value", *k)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "key", k, "holder", holder{k, *k, k})
	asJSON, err := json.Marshal(holder{k, *k, k})
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(asJSON)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{k, *k, holder{k, *k, k}, []*seal.Key{k}} {
			shown += fmt.Sprintf(verb, v) + "\n"
		}
		if got := fmt.Sprintf(verb, k); got != "[redacted]" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	// As text, as hexadecimal digits, and as a list of numbers.
	for _, trace := range []string{secret[:8], fmt.Sprintf("%x", secret[:8]), "48 49 50 51", "48,49,50,51", "0x30, 0x31"} {
		if strings.Contains(shown, trace) {
			t.Errorf("%q shows in %s", trace, shown)
		}
	}
}

// golden is "hvs.token" sealed for "place" with secret, by the first version: what is on disk must stay readable.
var golden, _ = hex.DecodeString("8bdfc1a1b31a69fea35613c67fa674151aa72d2a70c776002abf6dbc505ffdca23a4f9f315")

func TestWhatTheFirstVersionSealedOpens(t *testing.T) {
	k := keyOf(t, secret)
	if got, err := k.Open(golden, []byte("place")); err != nil || string(got) != "hvs.token" {
		t.Errorf("opened %q, %v", got, err)
	}
	const want = "f7f73899173768122037b995a264fb54e80922eedab2ce326241582df539025a"
	if got := k.Derive("x"); hex.EncodeToString(got[:]) != want {
		t.Errorf("derived %x, want %s", got, want)
	}
}

func FuzzOpen(f *testing.F) {
	k, good := keyOf(f, secret), golden
	f.Add(good, []byte("place"))
	f.Add(good[:28], []byte("place"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, b, aad []byte) {
		plain, err := k.Open(b, aad)
		genuine := bytes.Equal(b, good) && string(aad) == "place"
		if genuine != (err == nil) || genuine && string(plain) != "hvs.token" {
			t.Errorf("opened %q, %v", plain, err)
		}
	})
}
