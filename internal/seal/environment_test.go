package seal_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"leasehold/internal/seal"
)

func TestAVariableHoldsTheTextOfAKeyFile(t *testing.T) {
	t.Setenv("LEASEHOLD_STATE_KEY", base64.StdEncoding.EncodeToString([]byte(secret))+"\n")
	k, err := seal.OpenVariable("LEASEHOLD_STATE_KEY")
	if err != nil {
		t.Fatal(err)
	}
	if k.Derive("x") != keyOf(t, secret).Derive("x") {
		t.Error("it was read as another key than in a key file")
	}
}

func TestAVariableIsRefusedWithARemedyAndNotShown(t *testing.T) {
	line := base64.StdEncoding.EncodeToString([]byte(secret))
	const (
		remedy = "; set it to a key that `openssl rand -base64 32` made"
		unset  = "environment variable LEASEHOLD_TEST_KEY: it is not set" + remedy
		bad    = "environment variable LEASEHOLD_TEST_KEY: it does not hold 32 bytes in base64" + remedy
	)
	for name, tc := range map[string]struct{ text, want string }{
		"empty":          {"", unset},
		"white space":    {" \n", bad},
		"the bare bytes": {secret, bad},
		"half a key":     {line[:20], bad},
		"hexadecimal":    {strings.Repeat("0f", 32), bad},
		"a passphrase":   {"correct horse battery staple", bad},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("LEASEHOLD_TEST_KEY", tc.text)
			if k, err := seal.OpenVariable("LEASEHOLD_TEST_KEY"); k != nil || err == nil || err.Error() != tc.want {
				t.Errorf("error = %v, want %s", err, tc.want)
			}
		})
	}
	if _, err := seal.OpenVariable("LEASEHOLD_TEST_UNSET"); err == nil || !strings.Contains(err.Error(), "LEASEHOLD_TEST_UNSET: it is not set") {
		t.Errorf("error = %v", err)
	}
}
