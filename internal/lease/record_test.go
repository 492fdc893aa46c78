package lease_test

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"math"
	"net/http"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// refreshing is an index whose entries have all that an entry can have.
func refreshing(m *memory) *lease.Index {
	return lease.NewIndex(lease.Options{
		Journal: m, Log: slog.New(slog.DiscardHandler), MaxBytes: -1, AutoAuthPaths: map[vault.AutoAuthName]string{"": "auth/approle/login/"},
		Rules: []lease.Rule{{RefreshAhead: true, NonRenewable: true, ReplaceBefore: 0.1}},
	})
}

// samples are records of every kind.
func samples(t testing.TB) [][]byte {
	m := newMemory()
	x := refreshing(m)
	x.Hold("", app, "acc-app", "ns1/", time.Time{})
	x.HeldUntil(app, noon.Add(time.Hour))
	x.Hold("other", app, "", "", time.Time{})
	o := offerOf(x, "aws/creds/a", app, leaseAnswer("aws/creds/a/1", 3600), noon)
	o.Rule = x.RuleOf("", "/v1/aws/creds/a")
	o.Request = &lease.Request{
		Method: "PUT", Target: "/v1/aws/creds/a?x=\xff%00", Header: http.Header{"X-Vault-Request": {"true"}, "A": {"", "\xff"}}, Body: []byte("{}"),
	}
	for range 2 { // the first gives up its key
		if _, v := x.Keep(o); !v.Kept() {
			t.Fatal(v)
		}
		o.Answer.Body, o.Replace = []byte(leaseAnswer("aws/creds/a/2", 3600)), true
	}
	mustKeep(t, x, "auth/token/create", app, tokenAnswer("hvs.child", "acc-child", false, 3600), noon)
	mustKeep(t, x, "auth/approle/login", vault.Token{}, tokenAnswer("hvs.login", "", true, 3600), noon)
	mustKeep(t, x, "auth/userpass/login/bob", vault.Token{}, tokenAnswer("hvs.cleared", "acc", true, 3600), noon)
	x.Evict(lease.Eviction{Scope: lease.ScopeToken, Value: "hvs.cleared", Clear: true})
	var all [][]byte
	_, _ = m.Each(func(r []byte) (bool, error) { all = append(all, bytes.Clone(r)); return true, nil })
	if len(all) != 6 {
		t.Fatalf("%d records", len(all))
	}
	return all
}

func FuzzRecord(f *testing.F) {
	for _, r := range samples(f) {
		f.Add(r)
	}
	f.Add([]byte{})
	f.Add([]byte{2, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		original := bytes.Clone(b)
		again, err := lease.Recode(b)
		info, bad := lease.InspectRecord(b)
		if !bytes.Equal(b, original) {
			t.Fatal("reading a record changed it")
		}
		if (err == nil) != (bad == nil) || info.Size > len(b) {
			t.Fatalf("decoding says %v, inspection %v of %d bytes", err, bad, info.Size)
		}
		if err == nil && !bytes.Equal(again, b) {
			t.Fatalf("%x\nbecame %x", b, again)
		}
		m := newMemory()
		m.records[[32]byte{}] = b
		x := refreshing(m)
		out, failed := x.Restore(time.Unix(0, math.MinInt64))
		if failed != nil || (err != nil) != (out.Unreadable == 1) || x.Check() != nil {
			t.Fatalf("Restore() = %+v, %v; %v", out, failed, x.Check())
		}
	})
}

// What is not whole is no record: shortened anywhere, or with something behind it.
func TestARecordIsReadWholeOrNotAtAll(t *testing.T) {
	for _, r := range samples(t) {
		if again, err := lease.Recode(r); err != nil || !bytes.Equal(again, r) {
			t.Errorf("%x\nbecame %x, %v", r, again, err)
		}
		for i := range r {
			if _, err := lease.InspectRecord(r[:i]); err == nil {
				t.Errorf("the first %d of %d bytes are a record", i, len(r))
			}
		}
		if _, err := lease.InspectRecord(append(bytes.Clone(r), 0)); err == nil {
			t.Error("a record with a byte too many is one")
		}
		for _, version := range []byte{0, 1, 3, '{'} {
			if _, err := lease.InspectRecord(append([]byte{version}, r[1:]...)); err == nil {
				t.Errorf("a record of version %d is one", version)
			}
		}
	}
}

func TestNoRecord(t *testing.T) {
	const (
		id    = "abababababababababababababababababababababababababababababababab"
		nanos = "7000000000000000"
		zero  = "0000000000000000"
	)
	for name, text := range map[string]string{
		"nothing":                       "",
		"an unknown flag":               "0280" + "00" + "00" + "0174" + "00" + nanos,
		"a token without a text":        "0200" + "00" + "00" + "00" + "00" + nanos,
		"a set-aside token without end": "0200" + "00" + "00" + "0174" + "00" + zero,
		"a token that is last":          "0210" + "00" + "00" + "0174" + "00" + nanos,
		"a token with a request":        "0240" + "00" + "00" + "0174" + "00" + nanos + "00000000",
		"a length not in short form":    "0200" + "8000" + "00" + "0174" + "00" + nanos,
		"a length beyond the end":       "0200" + "00" + "ffffffff07" + "0174" + "00" + nanos,
		"a length beyond all numbers":   "0200" + "00" + "ffffffffffffffffffff01" + "0174" + "00" + nanos,
		"a lease of nobody":             "0203" + "00" + "00" + "0161" + id + nanos + nanos + zero + "00" + zero + "00" + "00" + "0000",
		"a lease without an answer":     "020a" + "00" + "00" + id + "0161",
		"a lease without an id":         "020b" + "00" + "00" + id + "00" + id + nanos + nanos + zero + "00" + zero + "00" + "00" + "0000",
		"a lease without an end":        "020b" + "00" + "00" + id + "0161" + id + nanos + zero + zero + "00" + zero + "00" + "00" + "0000",
		"a lease without a life":        "020b" + "00" + "00" + id + "0161" + id + zero + nanos + zero + "00" + zero + "00" + "00" + "0000",
		"an auto-auth token of nobody":  "0204" + "00" + "00" + "0174" + "00" + nanos + "00",
		"holders out of order":          "0204" + "00" + "00" + "0174" + "00" + nanos + "02" + "0162" + nanos + "0161" + nanos,
		"a holder twice":                "0204" + "00" + "00" + "0174" + "00" + nanos + "02" + "0161" + nanos + "0161" + nanos,
		"more holders than there are":   "0204" + "00" + "00" + "0174" + "00" + nanos + "02" + "0161" + nanos,
		"an auto-auth lease":            "020f" + "00" + "00" + id + "0161" + "0100" + nanos + id + nanos + nanos + zero + "00" + zero + "00" + "00" + "0000",
		"a renewal of what is replaced": "022b" + "00" + "00" + id + "0161" + id + nanos + nanos + nanos + "00" + zero + "00" + "00" + "0000",
		"digits outside of the body":    "020b" + "00" + "00" + id + "0161" + id + nanos + nanos + zero + "00" + zero + "00" + "0161" + "0102",
		"digits reversed":               "020b" + "00" + "00" + id + "0161" + id + nanos + nanos + zero + "00" + zero + "00" + "0161" + "0100",
		"fields out of order":           "020b" + "00" + "00" + id + "0161" + id + nanos + nanos + zero + "00" + zero + "06016200016100" + "0161" + "0000",
		"a field twice":                 "020b" + "00" + "00" + id + "0161" + id + nanos + nanos + zero + "00" + zero + "06016200016200" + "0161" + "0000",
		"a field without its values":    "020b" + "00" + "00" + id + "0161" + id + nanos + nanos + zero + "00" + zero + "03016102" + "0161" + "0000",
		"a field of very many values":   "020b" + "00" + "00" + id + "0161" + id + nanos + nanos + zero + "00" + zero + "070161ffffffff07" + "0161" + "0000",
	} {
		t.Run(name, func(t *testing.T) {
			bad, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := lease.InspectRecord(bad); err == nil {
				t.Errorf("it is a record of %+v", info)
			}
			now, m := time.Now(), newMemory()
			keys := grow(t, journaled(m), now)
			m.records[[32]byte{1, 2, 3}] = bad
			out, err := journaled(m).Restore(now)
			if err != nil || out.Entries != len(keys) || out.Unreadable != 1 {
				t.Errorf("Restore() = %+v, %v; want %d entries and one unreadable", out, err, len(keys))
			}
			if len(m.records) != len(keys)+1 {
				t.Error("it is still in the journal")
			}
		})
	}
}

// Whatever stands in a request or an answer comes back exactly: bytes that are no text as well.
func TestARestartChangesNothing(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 300), func(b []byte) string { return string(b) }))
	header := rapid.MapOfN(text, rapid.SliceOfN(text, 0, 3), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		m := newMemory()
		x := refreshing(m)
		x.Hold("", app, vault.Accessor(text.Draw(t, "accessor")), vault.Namespace(text.Draw(t, "namespace")), time.Time{})
		x.HeldUntil(app, noon.Add(time.Duration(rapid.Int64Range(1, 1<<50).Draw(t, "until"))))
		for i := range rapid.IntRange(0, 5).Draw(t, "entries") {
			body := leaseAnswer("aws/creds/"+string(rune('a'+i)), rapid.IntRange(1, 1e9).Draw(t, "ttl"))
			if rapid.Bool().Draw(t, "a token") {
				body = tokenAnswer("hvs."+string(rune('a'+i)), text.Draw(t, "accessor"), rapid.Bool().Draw(t, "orphan"), 3600)
			}
			o := offerOf(x, text.Draw(t, "path"), app, body, noon.Add(-time.Duration(rapid.IntRange(0, 9e8).Draw(t, "ago"))))
			o.Key, o.RawHeader, o.Rule = drawKey(t), header.Draw(t, "header"), x.RuleOf("", "/v1/a")
			o.Answer.Status, o.Replace = rapid.IntRange(200, 299).Draw(t, "status"), rapid.Bool().Draw(t, "replace")
			o.Request = &lease.Request{Method: text.Draw(t, "method"), Target: text.Draw(t, "target"), Header: header.Draw(t, "sent"), Body: []byte(text.Draw(t, "payload"))}
			x.Keep(o)
		}
		y := refreshing(m.copied())
		if _, err := y.Restore(noon); err != nil {
			t.Fatal(err)
		}
		got, want := y.Dump(noon), x.Dump(noon)
		for _, all := range []map[string]lease.Thing{got, want} { // nil or empty is the same here
			for id, d := range all {
				all[id] = normal(d)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("came back: %+v\nwas: %+v", got, want)
		}
	})
}

func normal(d lease.Thing) lease.Thing {
	if q := d.Request; q != nil {
		c := *q
		d.Request, c.Body = &c, append([]byte{}, q.Body...)
		c.Header = http.Header{}
		for name, values := range q.Header {
			c.Header[name] = append([]string{}, values...)
		}
	}
	fields := []lease.Field{}
	for _, f := range d.Fields {
		fields = append(fields, lease.Field{Name: f.Name, Values: append([]string{}, f.Values...)})
	}
	d.Fields = fields
	return d
}

func TestInspectRecord(t *testing.T) {
	end := noon.Add(time.Hour)
	want := map[lease.RecordInfo]int{
		{Kind: "auto-auth token", End: end}:                                                      1,
		{Kind: "lease", End: end, Size: len(leaseAnswer("aws/creds/a/1", 3600))}:                 2,
		{Kind: "token", End: end, Size: len(tokenAnswer("hvs.child", "acc-child", false, 3600))}: 1,
		{Kind: "token", End: end, Size: len(tokenAnswer("hvs.login", "", true, 3600))}:           1,
		{Kind: "token", End: end}: 1,
	}
	got := map[lease.RecordInfo]int{}
	for _, r := range samples(t) {
		info, err := lease.InspectRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		info.End = info.End.UTC()
		got[info]++
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("records of %+v, want %+v", got, want)
	}
	m := newMemory()
	journaled(m).Hold("", app, "", "", time.Time{})
	for _, r := range m.records {
		if info, err := lease.InspectRecord(r); err != nil || info.Kind != "auto-auth token" || !info.End.IsZero() {
			t.Errorf("InspectRecord() = %+v, %v; want an auto-auth token whose end is not known", info, err)
		}
	}
}
