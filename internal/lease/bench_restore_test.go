package lease_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// listed is a journal that is only read, in the order of a state file: that of hashes.
type listed struct{ records [][]byte }

func (l *listed) Write([]lease.Change) error { return nil }
func (l *listed) Discard() error             { return nil }
func (l *listed) Each(f func([]byte) (bool, error)) (int, error) {
	for _, r := range l.records {
		if _, err := f(r); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// journal100k has n leases of a database engine's size, of the auto-auth token.
func filledJournal(b testing.TB, n int, now time.Time) *listed {
	m := newMemory()
	x := lease.NewIndex(lease.Options{MaxBytes: -1, Journal: m, Log: slog.New(slog.DiscardHandler)})
	token := vault.NewToken("hvs.CAESIJ5mYYr0vS3Xq0z1Jz3bB4J2n8oHkXyVtA0nYk2T5qGGiEKHGh2cy5aT3RmQkVhUzZmQ0dLUzVXcE5tVHc")
	x.Hold("", token, "Xq0z1Jz3bB4J2n8oHkXyVtA0", "", time.Time{})
	header := map[string][]string{
		"Cache-Control": {"no-store"}, "Content-Type": {"application/json"}, "Strict-Transport-Security": {"max-age=31536000; includeSubDomains"},
	}
	for i := range n {
		path := fmt.Sprintf("database/creds/service-%d", i%1000)
		id := fmt.Sprintf("%s/4hGc9Zp3XoQeWlqz%08d", path, i)
		body := fmt.Sprintf(`{"request_id":"0b4c7a9e-52d1-7f0e-9c31-0f6a2b%06d","lease_id":%q,"renewable":true,"lease_duration":3600,"data":{"password":"A1a-h7Qm0ZkWv3%06d","username":"v-approle-service-4hGc9Zp3XoQeWlqz-1774353600"},"wrap_info":null,"warnings":null,"auth":null,"mount_type":"database"}`+"\n",
			i, id, i)
		o := lease.Offer{
			Key: keyOf(id), Caller: token, Path: path, Epoch: x.Epoch(), Sent: now, RawHeader: header,
			Answer: lease.Answer{Status: 200, Body: []byte(body), Received: now},
		}
		if _, v := x.Keep(o); !v.Kept() {
			b.Fatal(v)
		}
	}
	l := &listed{}
	if _, err := m.Each(func(r []byte) (bool, error) {
		l.records = append(l.records, append([]byte(nil), r...))
		return true, nil
	}); err != nil {
		b.Fatal(err)
	}
	return l
}

// BenchmarkRestore is the index's part of a restart with 100,000 leases; what unsealing and the file cost comes on top.
func BenchmarkRestore(b *testing.B) {
	const n = 100_000
	now := time.Now()
	journal := filledJournal(b, n, now)
	size := 0
	for _, r := range journal.records {
		size += len(r)
	}
	before := heap()
	var x *lease.Index
	b.ReportAllocs()
	for b.Loop() {
		x = lease.NewIndex(lease.Options{MaxBytes: -1, Journal: journal, Log: slog.New(slog.DiscardHandler)})
		if out, err := x.Restore(now); err != nil || out.Entries != n {
			b.Fatalf("%+v, %v", out, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
	b.ReportMetric(float64(heap()-before)/n, "retained-B/record")
	b.ReportMetric(float64(size)/n, "journal-B/record")
	_, counted, _ := x.Stats()
	b.ReportMetric(float64(counted)/n, "counted-B/record")
}

// A lease that comes back is its entry, its body, its path and its id, and nothing else but places in maps.
func TestRestoreMakesNoGarbage(t *testing.T) {
	const n = 2000
	journal := filledJournal(t, n, noon)
	allocs := testing.AllocsPerRun(3, func() {
		x := lease.NewIndex(lease.Options{MaxBytes: -1, Journal: journal, Log: slog.New(slog.DiscardHandler)})
		if out, err := x.Restore(noon); err != nil || out.Entries != n {
			t.Fatalf("%+v, %v", out, err)
		}
	})
	if allocs > 4.5*n {
		t.Errorf("%.2f allocations a record", allocs/n)
	}
}
