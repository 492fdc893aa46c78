package cache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/vault"
)

// Answer writes the answer to r, which is sent with the token of id. An error means that nothing was written.
func (c *Cache) Answer(w http.ResponseWriter, r *http.Request, id vault.Identity) error {
	err := c.answer(w, r, id)
	if errors.Is(err, errTokenGone) {
		return c.repeat(w, r, id.AutoAuth)
	}
	return err
}

func (c *Cache) answer(w http.ResponseWriter, r *http.Request, id vault.Identity) error {
	namespace := r.Header.Get("X-Vault-Namespace")
	op := lease.Describe(r.Method, r.URL.Path, namespace)
	concealed := id.Injected && questionOf(r.URL.Path, namespace) != unrelated
	if concealed && r.Header["X-Vault-Wrap-Ttl"] != nil {
		return ErrConcealed
	}
	switch {
	case op.Kind == lease.Renewal:
		return c.renew(w, r, id)
	case op.Kind == lease.Revocation:
		return c.revoke(w, r, id, op)
	}
	if reason, passes := c.passes(r, op, concealed); passes {
		return c.send(w, r, id, c.bypass(reason).inspect)
	}
	return c.create(w, r, id, op)
}

// passes tells why a request is not looked for in the cache, whatever is in it, if it is not.
func (c *Cache) passes(r *http.Request, op lease.Operation, concealed bool) (reason string, yes bool) {
	switch {
	case op.Kind != lease.Creation || concealed:
		return "the request creates nothing that could be kept", true
	case excluded(r):
		return "wrapped answers, second factors and upgrades are not kept", true
	}
	return "", c.opt.Off
}

// excluded are requests whose answers are never kept whatever they are: wrapped ones are for one reader, a second factor is
// for one use, an upgrade is no answer at all.
func excluded(r *http.Request) bool {
	h := r.Header
	return h["X-Vault-Wrap-Ttl"] != nil || h["X-Vault-Mfa"] != nil || h["Upgrade"] != nil
}

// create answers a request whose answer may be kept: from memory, from the flight of the same request, or from Vault.
func (c *Cache) create(w http.ResponseWriter, r *http.Request, id vault.Identity, op lease.Operation) error {
	rule := c.index.RuleOf(op.Namespace, r.URL.Path)
	if rule.Pass {
		return c.send(w, r, id, c.bypass(aPassRule).inspect)
	}
	wish, note := c.wishOf(r.Header)
	if wish == noStore {
		return c.send(w, r, id, c.bypass("the request says no-store").inspect)
	}
	body, whole, err := takeBody(r, c.maxEntrySize.Load())
	if err != nil {
		return err
	}
	if !whole {
		return c.send(w, r, id, c.bypass("the request's body is larger than max_entry_size").inspect)
	}
	key := c.keys.key(r.Method, op.Namespace, target(r), r.URL.RawQuery, body, id, r.Header)
	now := time.Now()
	old := c.index.Get(&key, now)
	if wish == noCache && old != nil {
		if note = c.refuseRefresh(old, now); note != "" {
			wish = plain
		}
	}
	if old != nil && !old.Due() && wish == plain {
		c.hit(w, old, now, hitValue, note)
		return nil
	}
	if id.Injected && c.tokens != nil {
		lasting, err := c.lasting(r.Context(), id.AutoAuth)
		if err != nil {
			return err
		}
		if !lasting.Equal(id.Token) {
			id.Token = lasting
			return c.create(w, r, id, op)
		}
	}
	x := exchange{Cache: c, mask: c.maskOf(id), old: old, wish: wish, note: note, offer: lease.Offer{
		Key: key, Caller: id.Token, Namespace: op.Namespace, Path: lease.FullPath(op.Namespace, r.URL.Path),
		Rule: rule, Replace: wish == noCache,
	}}
	if rule.RefreshAhead {
		x.offer.Request = requestOf(r, body)
	}
	return x.answer(w, r, id)
}

const aPassRule = "a rule keeps nothing of this path"

// lasting is a login's token to create something with.
func (c *Cache) lasting(client context.Context, login vault.AutoAuthName) (vault.Token, error) {
	ctx, cancel := context.WithTimeout(client, tokenWait)
	defer cancel()
	t, err := c.tokens.Lasting(ctx, login)
	if errors.Is(err, context.DeadlineExceeded) && client.Err() == nil {
		err = ErrNoToken
	}
	return t, err
}

// answer joins the flight of the request's key.
func (x *exchange) answer(w http.ResponseWriter, r *http.Request, id vault.Identity) error {
	if x.isAlone(x.offer.Key) {
		return x.forward(w, r, id)
	}
	fl, flightCtx, leads := x.flights.join(r.Context(), x.offer.Key)
	if leads {
		// The flight before this one may have ended between the look at the index and the join: its entry is there by now.
		if e := x.successor(); e != nil {
			fl.finish(e)
			fl.cancel()
			x.hit(w, e, time.Now(), hitValue, x.note)
			return nil
		}
		return x.lead(w, r.WithContext(flightCtx), id, fl, r.Context())
	}
	wait := x.waiting(r.Context(), fl)
	defer wait.End() // again does nothing
	select {
	case <-fl.done:
	case <-r.Context().Done():
		fl.leave(false)
		return fmt.Errorf("wait for the same request: %w", context.Cause(r.Context()))
	}
	e := x.successor()
	wait.SetAttributes(sharedKey.Bool(e != nil))
	wait.End()
	if e != nil {
		x.hit(w, e, time.Now(), coalescedValue, x.note)
		return nil
	}
	if fl.failed && x.stale(w) {
		return nil
	}
	return x.forward(w, r, id)
}

// successor is what has come under the key since the exchange began, and need not be replaced.
func (x *exchange) successor() *lease.Entry {
	e := x.index.Get(&x.offer.Key, time.Now())
	if e == nil || e.Due() || (e == x.old && x.wish == noCache) {
		return nil
	}
	return e
}

// stale answers with what is due to be replaced, when Vault did not give a successor: it is good for some time yet.
func (x *exchange) stale(w http.ResponseWriter) bool {
	now := time.Now()
	if x.old == nil || x.wish == noCache || x.old.Remaining(now) < time.Second {
		return false
	}
	x.hit(w, x.old, now, staleValue, "")
	return true
}

// hit writes an entry.
func (c *Cache) hit(w http.ResponseWriter, e *lease.Entry, now time.Time, how []string, note string) {
	e.Touch()
	c.meter.Hit()
	c.meter.Answered(e.Answer().Status)
	if note != "" {
		w.Header()["X-Cache-Reason"] = []string{note}
	}
	writeHit(w, e, now, c.replayTTL.Load(), how)
}

func (c *Cache) isAlone(key lease.Key) bool {
	full, ok := c.alone.Get(short(key))
	return ok && full == key
}

// bypass is for requests that are not looked for in the cache.
func (c *Cache) bypass(reason string) bypass {
	if c.opt.Off {
		return bypass{c, missValue, ""} // as Vault Proxy says without a cache
	}
	return bypass{c, bypassValue, reason}
}

type bypass struct {
	c      *Cache
	how    []string
	reason string
}

// inspect marks the answer.
func (b bypass) inspect(resp *http.Response) error {
	b.c.mark(resp, b.how, b.reason)
	return nil
}

// mark writes into an answer of Vault how it came about, and why it is not kept.
func (c *Cache) mark(resp *http.Response, how []string, reason string) {
	delete(resp.Header, "X-Cache-Reason")
	if resp.StatusCode < http.StatusMultipleChoices && resp.StatusCode >= http.StatusOK {
		resp.Header["X-Cache"] = how
		if reason != "" {
			resp.Header["X-Cache-Reason"] = []string{reason}
		}
	}
	if !c.opt.Off {
		c.meter.Miss()
	}
	c.meter.Answered(resp.StatusCode)
}
