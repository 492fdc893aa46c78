package lease_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is the moment of every test in which time stands still.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// app is the auto-auth token of most tests.
var app = vault.NewToken("hvs.app")

func keyOf(s string) lease.Key { return sha256.Sum256([]byte(s)) }

// leaseAnswer is Vault's answer to a request that created a lease.
func leaseAnswer(id string, seconds int) string {
	return fmt.Sprintf(`{"request_id":"5d3c","lease_id":%q,"renewable":true,"lease_duration":%d,"data":{"password":"A1a-x"},"wrap_info":null,"warnings":null,"auth":null}`+"\n",
		id, seconds)
}

// tokenAnswer is Vault's answer to a login, or to the creation of a token.
func tokenAnswer(token, accessor string, orphan bool, seconds int) string {
	return fmt.Sprintf(`{"request_id":"5d3c","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"auth":`+
		`{"client_token":%q,"accessor":%q,"policies":["default"],"lease_duration":%d,"renewable":true,"entity_id":"","token_type":"service","orphan":%t,"mfa_requirement":null}}`+"\n",
		token, accessor, seconds, orphan)
}

// offerOf is an answer to a request for path with caller's token; its key is the path's and the caller's.
func offerOf(x *lease.Index, path string, caller vault.Token, body string, now time.Time) lease.Offer {
	return lease.Offer{
		Key: keyOf(path + " " + caller.Reveal()), Caller: caller, Path: path, Epoch: x.Epoch(),
		Answer:    lease.Answer{Status: http.StatusOK, Body: []byte(body), Received: now},
		RawHeader: http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}},
		Sent:      now,
	}
}

// mustKeep offers an answer that has to be kept, and returns its key.
func mustKeep(t testing.TB, x *lease.Index, path string, caller vault.Token, body string, now time.Time) lease.Key {
	t.Helper()
	o := offerOf(x, path, caller, body, now)
	if e, v := x.Keep(o); !v.Kept() || e == nil {
		t.Fatalf("Keep(%s) = %v, %q; want it kept", path, e, v)
	}
	return o.Key
}

// wantStats compares what an index holds.
func wantStats(t testing.TB, x *lease.Index, entries, tokens int) {
	t.Helper()
	gotEntries, bytes, gotTokens := x.Stats()
	if gotEntries != entries || gotTokens != tokens || (bytes != 0) != (tokens != 0) || bytes < 0 {
		t.Errorf("Stats() = %d entries, %d bytes, %d tokens; want %d entries and %d tokens", gotEntries, bytes, gotTokens, entries, tokens)
	}
}

func TestAccessor(t *testing.T) {
	x := lease.NewIndex(lease.Options{})
	token := vault.NewToken("hvs.auto")
	if got := x.Accessor(token); got != "" {
		t.Errorf("accessor of an unknown token = %q", got)
	}
	x.Hold("", token, "accessor.auto", "", time.Time{})
	if got := x.Accessor(token); got != "accessor.auto" {
		t.Errorf("accessor = %q, want accessor.auto", got)
	}
	x.Lose(token)
	if got := x.Accessor(token); got != "" {
		t.Errorf("accessor of a lost token = %q", got)
	}
}
