package upstream

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// Outlook is what is known of Vault, all its addresses taken together.
type Outlook struct {
	Well   bool      // an address answers, and is not sealed
	Reason string    // what is wrong, or which addresses are gone on without; "" for nothing
	Since  time.Time // of Well being so, as far as was noticed
}

// outlook is what nodes know in sum. nodes.mu guards what is neither atomic nor a channel.
type outlook struct {
	made  time.Time
	heard atomic.Int64 // nanoseconds from made to the last word of any node, or of its absence; 0 before the first

	asked   chan struct{} // told when somebody wants to know
	checked chan struct{} // closed by the next check of all nodes
	well    bool
	since   time.Time // of well, and before the first word of made
}

func newOutlook() outlook {
	now := time.Now()
	return outlook{made: now, since: now, asked: make(chan struct{}, 1), checked: make(chan struct{})}
}

// hear notes that there was news, and tells whether it was the first.
func (o *outlook) hear() (first bool) { return o.heard.Swap(max(1, int64(time.Since(o.made)))) == 0 }

// silent tells whether nothing was heard for d.
func (o *outlook) silent(d time.Duration) bool {
	heard := o.heard.Load()
	return heard == 0 || time.Since(o.made)-time.Duration(heard) >= d
}

// turn takes in how the best node is.
func (o *outlook) turn(best level) {
	if well := best <= back; well != o.well {
		o.well, o.since = well, time.Now()
	}
}

// tellWaiting lets those go on who wait for a check.
func (ns *nodes) tellWaiting() {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	close(ns.outlook.checked)
	ns.outlook.checked = make(chan struct{})
}

// Look has Vault asked how it is when nothing was heard of it for the health interval, and waits for that no longer than patience. So what Outlook says
// is no older than that, Vault is asked no more often however many want to know, and not at all when nobody does. It is Run that asks.
func (c *Client) Look(patience time.Duration) {
	o := &c.nodes.outlook
	if !o.silent(c.healthInterval()) {
		return
	}
	c.nodes.mu.Lock()
	done := o.checked
	c.nodes.mu.Unlock()
	select {
	case o.asked <- struct{}{}:
	default: // somebody else has asked
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	}
}

// Outlook tells what is known, and waits for nothing.
func (c *Client) Outlook() Outlook {
	ns := c.nodes
	ns.mu.Lock()
	defer ns.mu.Unlock()
	out := Outlook{Well: ns.outlook.well, Since: ns.outlook.since}
	if ns.outlook.heard.Load() == 0 {
		out.Reason = "Vault at " + strings.Join(ns.addresses(), ", ") + " has not answered yet"
		return out
	}
	var troubles []string
	for i, s := range ns.standing {
		if s.level > back {
			troubles = append(troubles, fmt.Sprintf("Vault at %s %s", ns.list[i].address, s.level.trouble()))
		}
	}
	out.Reason = strings.Join(troubles, "; ")
	return out
}

// trouble is what is wrong with a node of this level.
func (l level) trouble() string {
	if l == away {
		return "cannot be reached"
	}
	return "is sealed, not initialized, or a secondary"
}
