package lease_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"leasehold/internal/lease"
)

func TestMayHold(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want bool
	}{
		"lease":                   {leaseAnswer("aws/creds/a/x1", 3600), true},
		"login":                   {tokenAnswer("hvs.x", "acc", true, 3600), true},
		"spaces":                  {`{ "renewable" : true }`, true},
		"KV, nothing true in it":  {`{"lease_id":"","renewable":false,"data":{"a":"b"}}`, false},
		"no such field":           {`{"ok":true}`, false},
		"empty":                   {"", false},
		"not renewable, but true": {`{"renewable":false,"data":{"a":true}}`, false},
		"in data only":            {`{"renewable":false,"data":{"renewable":true}}`, true}, // parsing will tell
		"cut off":                 {`{"renewable"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lease.MayHold([]byte(tc.body)); got != tc.want {
				t.Errorf("MayHold(%s) = %t, want %t", tc.body, got, tc.want)
			}
		})
	}
}

func TestParseSecret(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want lease.Secret // Auth aside
		auth *lease.Auth  // Token aside
	}{
		"empty object": {body: `{}`},
		"lease": {body: leaseAnswer("aws/creds/a/x1", 3600),
			want: lease.Secret{LeaseID: "aws/creds/a/x1", Renewable: true, TTL: time.Hour}},
		"login": {body: tokenAnswer("hvs.x", "acc", true, 60),
			auth: &lease.Auth{Accessor: "acc", Renewable: true, TTL: time.Minute, Orphan: true}},
		"spaces and order": {body: " {\n \"lease_duration\" : 30 ,\t\"renewable\": true, \"lease_id\":\"a/b\" } \n",
			want: lease.Secret{LeaseID: "a/b", Renewable: true, TTL: 30 * time.Second}},
		"nulls": {body: `{"lease_id":null,"renewable":null,"auth":null,"wrap_info":null,"data":null}`},
		"data says renewable": {body: `{"lease_id":"a/b","renewable":true,"lease_duration":5,"data":{"renewable":"x","lease_id":7,"lease_duration":{},"auth":[]}}`,
			want: lease.Secret{LeaseID: "a/b", Renewable: true, TTL: 5 * time.Second}},
		"only data says renewable": {body: `{"data":{"renewable":true,"lease_duration":60}}`},
		"data is an array":         {body: `{"renewable":true,"data":[1,2]}`, want: lease.Secret{Renewable: true}},
		"wrapped":                  {body: `{"wrap_info":{"token":"hvs.w","ttl":60}}`, want: lease.Secret{Wrapped: true}},
		"unknown fields":           {body: `{"x":{"y":[{"z":null}]},"renewable":true,"mount_type":"aws"}`, want: lease.Secret{Renewable: true}},
		"escapes":                  {body: `{"lease_id":"a\/b\u002fc"}`, want: lease.Secret{LeaseID: "a/b/c"}},
		"escaped name":             {body: `{"lease\u005fid":"a/b"}`, want: lease.Secret{LeaseID: "a/b"}},
		"other case":               {body: `{"Lease_ID":"a/b","RENEWABLE":7}`},
		"same name at two levels":  {body: `{"renewable":false,"auth":{"renewable":true}}`, auth: &lease.Auth{Renewable: true}},
		"waits for second factor": {body: `{"auth":{"client_token":"","mfa_requirement":{"mfa_request_id":"1"}}}`,
			auth: &lease.Auth{MFA: true}},
		"hundred years": {body: `{"lease_duration":3153600000}`, want: lease.Secret{TTL: 36500 * 24 * time.Hour}},
		"nothing left":  {body: `{"lease_duration":0}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := lease.ParseSecret([]byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if got.LeaseID != tc.want.LeaseID || got.Renewable != tc.want.Renewable || got.TTL != tc.want.TTL || got.Wrapped != tc.want.Wrapped {
				t.Errorf("got %+v, want %+v", *got, tc.want)
			}
			if (got.Auth == nil) != (tc.auth == nil) {
				t.Fatalf("auth = %+v, want %+v", got.Auth, tc.auth)
			}
			if a, want := got.Auth, tc.auth; a != nil &&
				(a.Accessor != want.Accessor || a.Renewable != want.Renewable || a.TTL != want.TTL || a.Orphan != want.Orphan || a.MFA != want.MFA) {
				t.Errorf("auth = %+v, want %+v", *a, *want)
			}
		})
	}
}

// What Vault Proxy answers with a 500 (CCH-2, CCH-3) passes here.
func TestWhatIsNoSecretPasses(t *testing.T) {
	keys := make([]string, 40)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"k%d":1`, i)
	}
	for name, body := range map[string]string{
		"empty":                     "",
		"spaces":                    " \n",
		"array":                     `[{"renewable":true}]`,
		"string":                    `"renewable true"`,
		"null":                      `null`,
		"number":                    `3600`,
		"HTML":                      `<html>"renewable" true</html>`,
		"cut off":                   `{"lease_id":"a/b","renewable":true`,
		"cut off in data":           `{"lease_id":"a/b","renewable":true,"data":{"a":`,
		"two objects":               `{"renewable":true}{"renewable":true}`,
		"something after it":        `{"renewable":true} x`,
		"a brace too many":          `{"renewable":true}}`,
		"renewable is a string":     `{"renewable":"true"}`,
		"renewable is a number":     `{"renewable":1}`,
		"lease id is a number":      `{"lease_id":7}`,
		"lease id is an object":     `{"lease_id":{}}`,
		"duration is a string":      `{"lease_duration":"3600"}`,
		"duration is null":          `{"lease_duration":null}`,
		"duration has a fraction":   `{"lease_duration":3600.5}`,
		"duration has an exponent":  `{"lease_duration":1e3}`,
		"duration is negative":      `{"lease_duration":-1}`,
		"duration is huge":          `{"lease_duration":3153600001}`,
		"duration overflows":        `{"lease_duration":99999999999999999999999999}`,
		"overflow of nanoseconds":   `{"lease_duration":9223372037}`,
		"auth is an array":          `{"auth":[]}`,
		"auth is a string":          `{"auth":"hvs.x"}`,
		"client token is a number":  `{"auth":{"client_token":7}}`,
		"accessor is a list":        `{"auth":{"accessor":["a"]}}`,
		"orphan is a string":        `{"auth":{"orphan":"true"}}`,
		"auth duration is negative": `{"auth":{"lease_duration":-5}}`,
		"lease id twice":            `{"lease_id":"a/b","lease_id":"a/c"}`,
		"duration twice":            `{"lease_duration":1,"lease_duration":1}`,
		"twice, escaped":            `{"lease_id":"a/b","lease\u005fid":"a/c"}`,
		"unknown field twice":       `{"x":1,"x":2}`,
		"token twice":               `{"auth":{"client_token":"a","client_token":"b"}}`,
		"auth twice":                `{"auth":null,"auth":null}`,
		"far too many fields":       `{` + strings.Join(keys, ",") + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := lease.ParseSecret([]byte(body)); err == nil {
				t.Errorf("ParseSecret(%s) = %+v, want an error", body, s)
			}
		})
	}
}

func TestAnErrorDoesNotRepeatTheAnswer(t *testing.T) {
	_, err := lease.ParseSecret([]byte(`{"auth":{"client_token":"hvs.secret"},"lease_id":7}`))
	if err == nil || strings.Contains(err.Error(), "hvs.secret") {
		t.Errorf("err = %v", err)
	}
}

func TestSplitCutsAroundTheSeconds(t *testing.T) {
	for name, tc := range map[string]struct{ body, before, digits, after string }{
		"lease": {
			body:   `{"lease_id":"aws/creds/a/x1","renewable":true,"lease_duration":3600,"data":{"lease_duration":17}}`,
			before: `{"lease_id":"aws/creds/a/x1","renewable":true,"lease_duration":`, digits: "3600", after: `,"data":{"lease_duration":17}}`,
		},
		"spaces": {
			body:   "{ \"lease_duration\" :\n 3600\t, \"renewable\":true, \"lease_id\":\"aws/creds/a/x1\" }\n",
			before: "{ \"lease_duration\" :\n ", digits: "3600", after: "\t, \"renewable\":true, \"lease_id\":\"aws/creds/a/x1\" }\n",
		},
		"last field": {
			body:   `{"data":{"lease_duration":1},"lease_id":"aws/creds/a/x1","renewable":true,"lease_duration":86400}`,
			before: `{"data":{"lease_duration":1},"lease_id":"aws/creds/a/x1","renewable":true,"lease_duration":`, digits: "86400", after: `}`,
		},
		"letters of more bytes": {
			body:   `{"data":{"ключ":"ä€😀"},"lease_id":"aws/creds/a/x1","renewable":true,"lease_duration":60}`,
			before: `{"data":{"ключ":"ä€😀"},"lease_id":"aws/creds/a/x1","renewable":true,"lease_duration":`, digits: "60", after: `}`,
		},
		"token": {
			body:   `{"lease_duration":0,"auth":{"client_token":"hvs.x","orphan":true,"renewable":true,"lease_duration":900}}`,
			before: `{"lease_duration":0,"auth":{"client_token":"hvs.x","orphan":true,"renewable":true,"lease_duration":`, digits: "900", after: `}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := lease.NewIndex(lease.Options{})
			x.Hold("", app, "", "", noon)
			key := mustKeep(t, x, "aws/creds/a", app, tc.body, noon)
			before, digits, after := x.Get(&key, noon).Answer().Split()
			if string(before) != tc.before || string(digits) != tc.digits || string(after) != tc.after {
				t.Errorf("Split() = %q, %q, %q; want %q, %q, %q", before, digits, after, tc.before, tc.digits, tc.after)
			}
		})
	}
}

func FuzzParseSecret(f *testing.F) {
	f.Add([]byte(leaseAnswer("aws/creds/a/x1", 3600)))
	f.Add([]byte(tokenAnswer("hvs.x", "acc", true, 60)))
	f.Add([]byte(`{"lease_duration":-0,"renewable":true,"lease_id":"\ud800"}`))
	f.Add([]byte(`{"auth":{"mfa_requirement":null,"lease_duration":1},"wrap_info":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := lease.ParseSecret(body)
		if err != nil {
			return
		}
		var want struct {
			top, auth map[string]json.RawMessage
		}
		if err := json.Unmarshal(body, &want.top); err != nil {
			t.Fatalf("encoding/json refuses what was accepted: %v", err)
		}
		agree(t, want.top, "lease_id", string(got.LeaseID))
		agree(t, want.top, "renewable", got.Renewable)
		agree(t, want.top, "lease_duration", int64(got.TTL/time.Second))
		if wrap := string(want.top["wrap_info"]); got.Wrapped != (wrap != "" && wrap != "null") {
			t.Errorf("Wrapped = %t for %s", got.Wrapped, wrap)
		}
		if err := json.Unmarshal(orNull(want.top["auth"]), &want.auth); err != nil {
			t.Fatalf("auth: %v", err)
		}
		if (got.Auth != nil) != (want.auth != nil) {
			t.Fatalf("auth = %+v for %s", got.Auth, want.top["auth"])
		}
		if a := got.Auth; a != nil {
			agree(t, want.auth, "client_token", a.Token.Reveal())
			agree(t, want.auth, "accessor", string(a.Accessor))
			agree(t, want.auth, "renewable", a.Renewable)
			agree(t, want.auth, "orphan", a.Orphan)
			agree(t, want.auth, "lease_duration", int64(a.TTL/time.Second))
		}
		splitsAround(t, body)
	})
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

// agree compares a field with what encoding/json reads in its place.
func agree[T comparable](t *testing.T, fields map[string]json.RawMessage, name string, got T) {
	t.Helper()
	var want T
	if err := json.Unmarshal(orNull(fields[name]), &want); err != nil {
		t.Fatalf("encoding/json refuses %s: %v", name, err)
	}
	if got != want {
		t.Errorf("%s = %v, encoding/json says %v", name, got, want)
	}
}

// splitsAround checks that a kept body falls apart around the seconds of its life.
func splitsAround(t *testing.T, body []byte) {
	x := lease.NewIndex(lease.Options{})
	x.Hold("", app, "", "", noon)
	e, v := x.Keep(offerOf(x, "a/b", app, string(body), noon))
	if !v.Kept() {
		return
	}
	before, digits, after := e.Answer().Split()
	seconds, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil || e.Remaining(noon) != time.Duration(seconds)*time.Second {
		t.Errorf("split at %q, but %v remain", digits, e.Remaining(noon))
	}
	if string(before)+string(digits)+string(after) != string(body) {
		t.Errorf("split into %q, %q, %q", before, digits, after)
	}
	if s, err := lease.ParseSecret([]byte(string(before) + "1" + string(after))); err != nil {
		t.Errorf("with other seconds: %v", err)
	} else if v == lease.KeepLease && s.TTL != time.Second || v == lease.KeepToken && s.Auth.TTL != time.Second {
		t.Errorf("other seconds did not go where they belong: %+v", s)
	}
	x.Evict(lease.Eviction{Scope: lease.ScopeAll})
	wantStats(t, x, 0, 0)
}
