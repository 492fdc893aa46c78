package upstream_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leasehold/internal/upstream"
)

// states are those of all nodes, the one in use in brackets.
func (c trio) states() string {
	var all []string
	nodes, _ := c.Nodes()
	for _, n := range nodes {
		if n.InUse {
			n.State = "[" + n.State + "]"
		}
		all = append(all, n.State)
	}
	return strings.Join(all, " ")
}

func TestNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		begun := time.Now()
		defer c.run(t)()
		want := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := c.states(); got != want {
				t.Errorf("the nodes are %s, want %s", got, want)
			}
		}
		want("[up] up up")
		time.Sleep(time.Minute + 2*time.Second) // checks are made every 5 s, and never when something is looked at here
		c.set("a.test", nil)
		c.want(t, "b")
		want("down [up] up")
		nodes, open := c.Nodes()
		if a := nodes[0]; open || a.Address != "https://a.test" || !strings.Contains(a.LastError, "refused") || a.ErrorAt.Sub(begun) < time.Minute || a.Since.Sub(begun) < time.Minute {
			t.Errorf("the first node is %+v", a)
		}
		if b := nodes[1]; !b.Since.Equal(begun) || b.LastError != "" || !b.ErrorAt.IsZero() {
			t.Errorf("the second node is %+v", b)
		}
		c.set("b.test", sealedNode)
		time.Sleep(6 * time.Second) // a check
		want("down unable [up]")
		c.set("a.test", named("a", 200))
		time.Sleep(5 * time.Second)
		want("recovering unable [up]")
		time.Sleep(5 * time.Second)
		want("[up] unable up")
		if nodes, _ := c.Nodes(); nodes[0].LastError == "" {
			t.Error("the last error is forgotten when the node is up again")
		}
		for _, host := range []string{"a.test", "b.test", "c.test"} {
			c.set(host, nil)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		nodes, open = c.Nodes()
		for _, n := range nodes { // nobody has asked: the checks have found out
			if !open || n.State != "down" || !strings.Contains(n.LastError, "connection refused") || time.Since(n.ErrorAt) > 5*time.Second {
				t.Errorf("with all away the breaker is open: %v, a node is %+v", open, n)
			}
		}
	})
}

// What is told of an address has no password.
func TestNodesHideUsers(t *testing.T) {
	c, err := upstream.New(upstream.Settings{Addresses: []string{"https://user:hunter2@vault.test"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if nodes, _ := c.Nodes(); nodes[0].Address != "https://vault.test" || strings.Contains(nodes[0].LastError, "hunter2") {
		t.Errorf("the node is %+v", nodes[0])
	}
}

// A check that nobody answers says for how long it has waited.
func TestNodesThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrio(t)
		c.set("b.test", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		defer c.run(t)()
		time.Sleep(12 * time.Second) // two checks begin, and the first is given up
		synctest.Wait()
		if nodes, _ := c.Nodes(); nodes[1].LastError != "no answer within 5s" || nodes[1].State != "down" || nodes[0].LastError != "" {
			t.Errorf("the nodes are %+v", nodes)
		}
	})
}
