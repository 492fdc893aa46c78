package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/store"
)

func TestConcurrentWritesShareACommit(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		s := b.open(t, strict)
		release := s.Hold() // a commit is under way
		want := map[string]string{}
		var writers sync.WaitGroup
		for i := range 64 {
			name := fmt.Sprint("writer ", i)
			want[name] = "1"
			writers.Go(func() { write(t, s, put(name, "1")) })
		}
		synctest.Wait() // all wait for it
		release()
		writers.Wait()
		if n := s.Stats().Commits; n != 1 {
			t.Errorf("%d commits for 64 writes that came together, want 1", n)
		}
		expect(t, s, want)
	})
}

func TestAWriteAloneIsOneCommit(t *testing.T) {
	s := newBench(t).open(t, strict)
	for i := range 3 {
		write(t, s, put("a", fmt.Sprint(i)), put("b", fmt.Sprint(i)))
		if n := s.Stats().Commits; n != int64(i+1) {
			t.Errorf("after write %d: %d commits", i+1, n)
		}
	}
}

func TestEachCommitIsTold(t *testing.T) {
	var told, nothing int
	s := newBench(t).open(t, store.Options{ExitOnErr: true, OnCommit: func(took time.Duration) {
		told++
		if took <= 0 {
			nothing++
		}
	}})
	for range 3 {
		write(t, s, put("a", "1"))
	}
	if told != 3 || nothing != 0 {
		t.Errorf("told of %d commits, %d of them without a time; want 3 and none", told, nothing)
	}
}

func TestAWriteWhoseCallerLeavesBeforeTheCommitIsNotMade(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		s := b.open(t, strict)
		release := s.Hold()
		ctx, leave := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		writers.Go(func() {
			if err := s.Write(ctx, put("leaves", "1")); !errors.Is(err, context.Canceled) {
				t.Errorf("error = %v", err)
			}
		})
		writers.Go(func() { write(t, s, put("stays", "1")) })
		synctest.Wait()
		leave()
		synctest.Wait()
		release()
		writers.Wait()
		expect(t, s, map[string]string{"stays": "1"})
		if err := s.Write(ctx, put("comes too late", "1")); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v", err)
		}
		expect(t, s, map[string]string{"stays": "1"})
	})
}

func TestCloseWaitsForWrites(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		s := b.open(t, strict)
		release := s.Hold()
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() { write(t, s, put(fmt.Sprint(i), "1")) })
		}
		synctest.Wait()
		closed := make(chan struct{})
		go func() {
			closeStore(t, s)
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close returned during a commit")
		default:
		}
		if err := s.Write(t.Context(), put("too late", "1")); !errors.Is(err, store.ErrClosed) {
			t.Errorf("a write after Close: %v", err)
		}
		release()
		all.Wait()
		<-closed
		s = b.open(t, strict)
		got, _, err := read(s)
		if err != nil || len(got) != 8 {
			t.Errorf("%d of 8 writes are there, %v", len(got), err)
		}
		closeStore(t, s)
	})
}

// Under the race detector this is also the test that nothing is shared that should not be.
func TestEachWriterFindsItsLastWrite(t *testing.T) {
	b := newBench(t)
	s := b.open(t, strict)
	want := map[string]string{}
	var writers sync.WaitGroup
	for i := range 16 {
		name := fmt.Sprint("writer ", i)
		want[name] = "19"
		writers.Go(func() {
			for n := range 20 {
				write(t, s, put(name, fmt.Sprint(n)), put("shared", fmt.Sprint(n)))
				if n == 10 {
					if _, _, err := read(s); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	writers.Wait()
	write(t, s, store.Change{ID: id("shared")})
	closeStore(t, s)
	expect(t, b.open(t, strict), want)
}
