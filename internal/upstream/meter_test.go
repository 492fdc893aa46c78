package upstream_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
	"leasehold/internal/vaulttest"
)

// meter remembers what it was told.
type meter struct {
	mu      sync.Mutex
	asked   []int
	longest time.Duration
	retries []string
}

func (m *meter) Asked(status int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked, m.longest = append(m.asked, status), max(m.longest, took)
}

func (m *meter) Retried(reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.retries = append(m.retries, reason)
}

func TestEachTryAndRetryIsCounted(t *testing.T) {
	for name, tc := range map[string]struct {
		fail    vaulttest.Fault
		times   int
		asked   []int
		retries []string
	}{
		"at once":         {vaulttest.Answer(503, nil, ""), 0, []int{200}, nil},
		"sealed, twice":   {vaulttest.Answer(503, nil, ""), 2, []int{503, 503, 200}, []string{"503", "503"}},
		"an error stands": {vaulttest.Answer(503, nil, ""), 9, []int{503, 503, 503}, []string{"503", "503"}},
		"slow down":       {vaulttest.Answer(429, nil, ""), 1, []int{429, 200}, []string{"429"}},
		"refused":         {vaulttest.Answer(403, nil, ""), 9, []int{403}, nil},
		"a lost answer":   {vaulttest.ResetAfter(), 1, []int{0, 200}, []string{"lost"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &meter{}
				b := newRigWith(t, upstream.Settings{NumRetries: 2, Meter: m})
				b.vault.SetKV("app", nil)
				b.vault.Fail(vaulttest.Times(tc.times, vaulttest.On("", "/")), tc.fail)
				_ = b.Forward(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/v1/secret/data/app", nil), root, nil)
				if !slices.Equal(m.asked, tc.asked) || !slices.Equal(m.retries, tc.retries) {
					t.Errorf("asked %v, retried %q; want %v and %q", m.asked, m.retries, tc.asked, tc.retries)
				}
			})
		})
	}
}

// Renewals count as well, and the waits between tries do not.
func TestTheTimeOfATryIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &meter{}
		b := newRigWith(t, upstream.Settings{NumRetries: 2, Meter: m})
		b.vault.SetKV("app", nil)
		b.vault.Fail(vaulttest.Times(1, vaulttest.On("", "/")), vaulttest.Answer(503, nil, ""))
		_ = b.Forward(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/v1/secret/data/app", nil), root, nil)
		if m.longest >= time.Second {
			t.Errorf("a try took %v", m.longest)
		}
		if _, err := b.RenewSelf(t.Context(), "", vault.NewToken("hvs.nobody")); err == nil {
			t.Fatal("renewed")
		}
		if want := []int{503, 200, 403}; !slices.Equal(m.asked, want) {
			t.Errorf("asked %v, want %v", m.asked, want)
		}
	})
}

func TestNodesTellWhoCanAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		stop := c.run(t)
		defer stop()
		told := func() string {
			nodes, open := c.Nodes()
			var all []string
			for _, n := range nodes {
				all = append(all, fmt.Sprintf("{%s %t}", n.Host, n.Up()))
			}
			return fmt.Sprint(all, open)
		}
		if got, want := told(), "[{a.test true} {b.test true} {c.test true}] false"; got != want {
			t.Errorf("at the start %s, want %s", got, want)
		}
		c.mu.Lock()
		all := c.nodes
		c.nodes = map[string]http.HandlerFunc{"c.test": all["c.test"]}
		c.mu.Unlock()
		time.Sleep(time.Minute)
		if got, want := told(), "[{a.test false} {b.test false} {c.test true}] false"; got != want {
			t.Errorf("with one left %s, want %s", got, want)
		}
		c.mu.Lock()
		c.nodes = map[string]http.HandlerFunc{}
		c.mu.Unlock()
		time.Sleep(time.Minute)
		if got, want := told(), "[{a.test false} {b.test false} {c.test false}] true"; got != want {
			t.Errorf("with none left %s, want %s", got, want)
		}
		c.mu.Lock()
		c.nodes = all
		c.mu.Unlock()
		time.Sleep(time.Minute)
		if got, want := told(), "[{a.test true} {b.test true} {c.test true}] false"; got != want {
			t.Errorf("when all are back %s, want %s", got, want)
		}
	})
}

func TestANodeBehindASocketHasItsPath(t *testing.T) {
	c := newClient(t, upstream.Settings{Address: "unix:///run/vault.sock"})
	if nodes, _ := c.Nodes(); len(nodes) != 1 || nodes[0].Host != "/run/vault.sock" {
		t.Errorf("nodes %v", nodes)
	}
	c = newClient(t, upstream.Settings{Address: "https://user:hush@vault.test:8200/base"})
	if nodes, _ := c.Nodes(); len(nodes) != 1 || nodes[0].Host != "vault.test:8200" {
		t.Errorf("nodes %v", nodes)
	}
}
