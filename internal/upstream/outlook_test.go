package upstream_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

// wantOutlook looks and compares; a reason is a part of what is said.
func (c trio) wantOutlook(t *testing.T, when string, want upstream.Outlook) {
	t.Helper()
	c.Look(time.Second)
	got := c.Outlook()
	if got.Well != want.Well || !got.Since.Equal(want.Since) || !strings.Contains(got.Reason, want.Reason) || (got.Reason == "") != (want.Reason == "") {
		t.Errorf("%s: %+v\nwant %+v", when, got, want)
	}
}

// newSingle is a client that has only the first of the nodes.
func newSingle(t *testing.T) trio {
	t.Helper()
	c := newTrio(t)
	var err error
	c.Client, err = upstream.New(upstream.Settings{
		Address: "https://a.test", Transport: c.cluster, NumRetries: 12, Product: "Leasehold/1.2.3", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// renew sends a request that is not repeated for long.
func (c trio) renew(t *testing.T) { _, _ = c.RenewSelf(t.Context(), "", vault.NewToken("hvs.x")) }

// Of one Vault it is known whether it answers, from when on, and why not; whether that was found out by a request or by looking.
func TestOutlook(t *testing.T) {
	const (
		gone   = "Vault at https://a.test cannot be reached"
		sealed = "Vault at https://a.test is sealed"
	)
	for name, harm := range map[string]struct {
		becomes func(trio)
		reason  string
	}{
		"gone":                 {func(c trio) { c.set("a.test", nil) }, gone},
		"sealed":               {func(c trio) { c.set("a.test", sealedNode) }, sealed},
		"not initialized":      {func(c trio) { c.set("a.test", named("a", 501)) }, sealed},
		"a disaster secondary": {func(c trio) { c.set("a.test", named("a", 472)) }, sealed},
	} {
		for by, ask := range map[string]bool{"looking": false, "a request": true} {
			if ask && (name == "not initialized" || name == "a disaster secondary") {
				continue // that is not told from other answers
			}
			t.Run(name+", noticed by "+by, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newSingle(t)
					made := time.Now()
					time.Sleep(time.Second)
					if got := c.Outlook(); got.Well || !got.Since.Equal(made) || got.Reason != "Vault at https://a.test has not answered yet" {
						t.Errorf("before anything was heard: %+v", got)
					}
					stop := c.run(t)
					defer stop()
					if ask {
						if c.renew(t); !c.Outlook().Well {
							t.Error("the first answer says nothing")
						}
					}
					c.wantOutlook(t, "at first", upstream.Outlook{Well: true, Since: time.Now()})
					well := time.Now()
					time.Sleep(time.Hour + time.Second/3)
					c.wantOutlook(t, "an hour later", upstream.Outlook{Well: true, Since: well})
					time.Sleep(6 * time.Second)
					harm.becomes(c)
					noticed := time.Now()
					if ask {
						c.renew(t)
					}
					c.wantOutlook(t, "harmed", upstream.Outlook{Reason: harm.reason, Since: noticed})
					time.Sleep(time.Minute + time.Second/3)
					c.wantOutlook(t, "a minute later", upstream.Outlook{Reason: harm.reason, Since: noticed})
					time.Sleep(6*time.Second + time.Second/3)
					c.set("a.test", named("a", 200))
					if ask {
						c.renew(t)
					}
					time.Sleep(6*time.Second + time.Second/3)
					c.Look(time.Second)
					if got := c.Outlook(); !got.Well || got.Reason != "" || time.Since(got.Since) > 7*time.Second {
						t.Errorf("mended: %+v at %v", got, time.Now())
					}
				})
			})
		}
	}
}

// As long as one of several answers, Vault does; which are gone is said.
func TestOutlookOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		stop := c.run(t)
		defer stop()
		well := time.Now()
		c.wantOutlook(t, "all well", upstream.Outlook{Well: true, Since: well})
		c.set("a.test", nil)
		c.set("b.test", sealedNode)
		c.want(t, "c")
		c.wantOutlook(t, "two harmed", upstream.Outlook{Well: true, Since: well,
			Reason: "Vault at https://a.test cannot be reached; Vault at https://b.test is sealed"})
		time.Sleep(time.Second)
		c.set("c.test", nil)
		gone := time.Now()
		_, _, _ = c.ask("GET", "/v1/x", "")
		c.wantOutlook(t, "all harmed", upstream.Outlook{Since: gone, Reason: "Vault at https://c.test cannot be reached"})
	})
}

// However many want to know, a Vault that is heard of anyhow is not asked for its health, and another no more than once in five seconds; one that nobody
// wants to know of, never. What only tells that it is alive does not count.
func TestLookingIsRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSingle(t)
		var looks atomic.Int64
		c.set("a.test", func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Opaque+r.URL.Path, "/sys/health") && r.Header.Get("X-Mine") == "" {
				looks.Add(1)
			}
			named("a", 200)(w, r)
		})
		stop := c.run(t)
		defer stop()
		during := func(what string, each func(), want int64) {
			t.Helper()
			time.Sleep(time.Minute + time.Second/3)
			before := looks.Load()
			for range 60 {
				each()
				time.Sleep(time.Second)
			}
			if got := looks.Load() - before; got != want {
				t.Errorf("%s: %d looks in a minute, want %d", what, got, want)
			}
		}
		look := func() { c.Look(time.Second); c.Look(time.Second) }
		request := func() { _, _, _ = c.ask("GET", "/v1/x", "") }
		during("nobody asks", request, 0)
		during("asked all the time", look, 12)
		during("asked, and requests", func() { request(); look() }, 0)
		during("asked, and requests for its health", func() {
			r := httptest.NewRequest("GET", "/v1/sys/health", nil)
			r.Header.Set("X-Mine", "1")
			_ = c.Forward(httptest.NewRecorder(), r, vault.Identity{}, nil)
			look()
		}, 12)
	})
}

// Who asks while a check is under way has the answer of that: no other follows it.
func TestAskedDuringACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSingle(t)
		var looks atomic.Int64
		c.set("a.test", func(w http.ResponseWriter, r *http.Request) {
			looks.Add(1)
			time.Sleep(2 * time.Second)
			named("a", 200)(w, r)
		})
		stop := c.run(t)
		defer stop()
		c.Look(0)
		time.Sleep(time.Second)
		c.Look(time.Minute)
		if d := c.Outlook().Since; !c.Outlook().Well || !time.Now().Equal(d) {
			t.Errorf("answered at %v, well since %v", time.Now(), d)
		}
		time.Sleep(4 * time.Second)
		c.Look(0)
		synctest.Wait()
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks in the health interval, want 1", n)
		}
	})
}

// A Vault that does not answer holds up who asks for no longer than he has patience; nor does a client that nobody runs.
func TestLookingIsPatientForSoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSingle(t)
		c.set("a.test", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		for _, running := range []bool{false, true} {
			if running {
				stop := c.run(t)
				defer stop()
			}
			start := time.Now()
			c.Look(time.Second / 2)
			if d := time.Since(start); d != time.Second/2 {
				t.Errorf("running %v: waited for %v", running, d)
			}
		}
	})
}
