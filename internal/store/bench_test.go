package store_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"leasehold/internal/store"
)

func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d writers", writers), func(b *testing.B) {
			s := newBench(b).open(b, strict)
			plain := bytes.Repeat([]byte("x"), 1024)
			b.ReportAllocs()
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var all sync.WaitGroup
			for range writers {
				all.Go(func() {
					for n := left.Add(-1); n >= 0; n = left.Add(-1) {
						if err := s.Write(context.Background(), store.Change{ID: id(fmt.Sprint(n % 10_000)), Plain: plain}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(s.Stats().Commits)/float64(b.N), "commits/op")
		})
	}
}

// BenchmarkRestore is opening a file with 100,000 records, as many as the budget for a restart names, and one pass over it.
func BenchmarkRestore(b *testing.B) {
	const records = 100_000
	w := newBench(b)
	s := w.open(b, strict)
	plain := bytes.Repeat([]byte("x"), 1024)
	for i := 0; i < records; i += 10_000 {
		var changes []store.Change
		for j := range 10_000 {
			changes = append(changes, store.Change{ID: id(fmt.Sprint(i + j)), Plain: plain})
		}
		write(b, s, changes...)
	}
	closeStore(b, s)
	b.ReportAllocs()
	for b.Loop() {
		s := w.open(b, strict)
		n := 0
		if _, err := s.Each(func([]byte) (bool, error) { n++; return true, nil }); err != nil || n != records {
			b.Fatalf("%d records, %v", n, err)
		}
		closeStore(b, s)
	}
}
