package seal_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/seal"
)

func TestWhatALocalKeyWrapsUnwraps(t *testing.T) {
	fileKey := seal.NewSecret()
	wrapped, err := seal.Local(keyOf(t, secret)).Wrap(t.Context(), fileKey[:])
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wrapped, fileKey[:8]) {
		t.Error("the file's key shows")
	}
	got, err := seal.Local(keyOf(t, secret)).Unwrap(t.Context(), wrapped) // the next start
	if err != nil || !bytes.Equal(got, fileKey[:]) {
		t.Errorf("unwrapped %x, %v", got, err)
	}
}

func TestALocalKeyUnwrapsNothingElse(t *testing.T) {
	k := keyOf(t, secret)
	changed := bytes.Clone(wrapped)
	changed[len(changed)-1] ^= 1
	for name, tc := range map[string]struct {
		key     *seal.Key
		wrapped []byte
	}{
		"another key":               {keyOf(t, strings.ToUpper(secret)), wrapped},
		"changed":                   {k, changed},
		"nothing":                   {k, nil},
		"a record of the same key":  {k, sealed(t, k, secret, "record")},
		"a record without a place":  {k, sealed(t, k, secret, "")},
		"what transit wrapped":      {k, []byte("vault:v1:AAAA")},
		"the file's key in the raw": {k, []byte(secret)},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := seal.Local(tc.key).Unwrap(t.Context(), tc.wrapped); !errors.Is(err, seal.ErrSealed) || got != nil {
				t.Errorf("unwrapped %q, %v, want ErrSealed", got, err)
			}
		})
	}
}

// wrapped is secret, wrapped with secret, by the first version: what is on disk must stay readable.
var wrapped, _ = hex.DecodeString("f6200ddc445e89ba7109fa736128e960ab55c1912dc590605c513702b68f4001ee83bf4aa36fe39e9e63ae25c8bc6c574c63d908d1763075a1a023b9")

func TestWhatTheFirstVersionWrappedUnwraps(t *testing.T) {
	if got, err := seal.Local(keyOf(t, secret)).Unwrap(t.Context(), wrapped); err != nil || string(got) != secret {
		t.Errorf("unwrapped %q, %v", got, err)
	}
}

func TestWrappersDoNotPrintThemselves(t *testing.T) {
	client, err := api.NewClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken("hvs.transit-token")
	for name, w := range map[string]seal.Wrapper{
		"local":   seal.Local(keyOf(t, secret)),
		"transit": seal.NewTransit(client, "transit", "app"),
	} {
		t.Run(name, func(t *testing.T) {
			type holder struct{ inner seal.Wrapper }
			var log bytes.Buffer
			slog.New(slog.NewTextHandler(&log, nil)).Info("text", "wrapper", w, "holder", holder{w})
			slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "wrapper", w, "holder", holder{w})
			asJSON, err := json.Marshal(w)
			if err != nil {
				t.Fatal(err)
			}
			shown := log.String() + string(asJSON)
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				if got := fmt.Sprintf(verb, w); got != "[redacted]" {
					t.Errorf("%s prints %s", verb, got)
				}
				shown += fmt.Sprintf(verb, holder{w}) + fmt.Sprintf(verb, &holder{w}) + fmt.Sprintf(verb, []holder{{w}})
			}
			for _, trace := range []string{"hvs.", fmt.Sprintf("%x", "hvs."), "104 118 115", "0x68, 0x76", secret[:8], fmt.Sprintf("%x", secret[:8]), "48 49 50", "0x30, 0x31"} {
				if strings.Contains(shown, trace) {
					t.Errorf("%q shows in %s", trace, shown)
				}
			}
		})
	}
}
