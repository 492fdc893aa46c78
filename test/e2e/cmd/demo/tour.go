package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"leasehold/test/e2e/realvault"
)

// ttl is that of the leases shown: short, so that a visitor sees a renewal.
const ttl = 6

// tour shows one thing after the other. What it has seen stays in its fields.
type tour struct {
	ctx   context.Context
	vault *realvault.Server
	proxy *proxy
	role  appRole
	out   io.Writer

	first  string // lease id of the first lease
	cached time.Time
}

// give walks through all stops and ends at the first that is not as told.
func (t *tour) give() error {
	for i, stop := range []struct {
		title string
		show  func() error
	}{
		{"A miss: nobody has read this yet, so Vault makes a lease.", t.miss},
		{"A hit: the same read again gets the same lease, without asking Vault.", t.hit},
		{"A renewal: the lease would end in 6 s. Leasehold keeps it alive; Vault's own audit log says so.", t.renewal},
		{"Another token, another entry: who may read is Vault's decision, so leases are never shared between tokens.", t.otherToken},
		{"cache-clear: everything is forgotten, the next read is a miss with a new lease.", t.clear},
		{"quit: Leasehold ends by request and leaves with exit code 0.", t.quit},
	} {
		fmt.Fprintf(t.out, "%d. %s\n", i+1, stop.title)
		if err := stop.show(); err != nil {
			return err
		}
		fmt.Fprintln(t.out)
	}
	t.say("All of it was as told. Nothing is left running.")
	return nil
}

func (t *tour) miss() error {
	a, err := t.read("")
	if err != nil {
		return err
	}
	t.first, t.cached = a.leaseID, time.Now()
	return a.want("MISS")
}

func (t *tour) hit() error {
	a, err := t.read("")
	if err != nil {
		return err
	}
	issued := t.vault.Issued("demo")
	t.note("leases that Vault has made so far: %d", issued)
	if issued != 1 {
		return fmt.Errorf("the number of leases should be 1, not %d", issued)
	}
	return a.wantLease("HIT", t.first)
}

func (t *tour) renewal() error {
	err := wait(t.ctx, "a renewal of "+t.first+" in Vault's audit log", func() (bool, error) {
		n, err := t.vault.AuditCount(func(e realvault.Entry) bool { return e.Renews(t.first) })
		return n > 0, err
	})
	if err != nil {
		return err
	}
	t.note("Vault's audit log: update sys/leases/renew lease_id=%s, seen %.1f s after the miss", t.first, time.Since(t.cached).Seconds())
	// Past the first TTL only a renewed lease is still alive.
	if err := wait(t.ctx, "the first TTL to pass", func() (bool, error) { return time.Since(t.cached) > (ttl+1)*time.Second, nil }); err != nil {
		return err
	}
	a, err := t.read("")
	if err != nil {
		return err
	}
	if _, err := t.vault.Client().Sys().Lookup(t.first); err != nil {
		return fmt.Errorf("the lease should be alive at Vault: %w", err)
	}
	t.note("%.1f s after the miss, the lease of %d s is alive at Vault and still the answer", time.Since(t.cached).Seconds(), ttl)
	return a.wantLease("HIT", t.first)
}

func (t *tour) otherToken() error {
	login, err := json.Marshal(map[string]string{"role_id": t.role.id, "secret_id": t.role.secretID})
	if err != nil {
		return err
	}
	a, err := t.send("POST", "/v1/auth/approle/login", string(login), "")
	if err != nil {
		return err
	}
	if a.status != http.StatusOK || a.token == "" {
		return fmt.Errorf("a login through Leasehold should give a token, not %d", a.status)
	}
	t.note("a login through Leasehold gave the token %s; now with it:", masked(a.token))
	for _, cache := range []string{"MISS", "HIT"} {
		mine, err := t.read(a.token)
		if err != nil {
			return err
		}
		if err := mine.want(cache); err != nil {
			return err
		}
		if mine.leaseID == t.first {
			return fmt.Errorf("the second token should not get the lease of the first, %s", t.first)
		}
	}
	return nil
}

func (t *tour) clear() error {
	a, err := t.send("POST", "/proxy/v1/cache-clear", `{"type": "all"}`, "")
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("cache-clear should answer 200, not %d", a.status)
	}
	if a, err = t.read(""); err != nil {
		return err
	}
	if a.leaseID == t.first {
		return fmt.Errorf("the lease should be a new one, not %s", t.first)
	}
	return a.want("MISS")
}

func (t *tour) quit() error {
	a, err := t.send("POST", "/proxy/v1/quit", "", "")
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("quit should answer 200, not %d", a.status)
	}
	select {
	case <-t.proxy.exited:
	case <-t.ctx.Done():
		return t.ctx.Err()
	case <-time.After(patience):
		return fmt.Errorf("the process should have ended, and still runs after %v", patience)
	}
	code := t.proxy.cmd.ProcessState.ExitCode()
	t.note("the process has ended with exit code %d", code)
	if code != 0 {
		return fmt.Errorf("the exit code should be 0, not %d", code)
	}
	return nil
}

// read asks for the lease of this demonstration. The empty token is Leasehold's own.
func (t *tour) read(token string) (answer, error) {
	a, err := t.send("GET", fmt.Sprintf("/v1/leaser/creds/demo?ttl=%d", ttl), "", token)
	if err == nil && a.leaseID == "" {
		err = fmt.Errorf("a read should give a lease; the answer was %d without one", a.status)
	}
	return a, err
}

// answer is what the demonstration looks at in an answer.
type answer struct {
	status         int
	cache, leaseID string
	token          string // of a login
}

// want checks X-Cache.
func (a answer) want(cache string) error {
	if a.cache != cache {
		return fmt.Errorf("X-Cache should be %s, not %q", cache, a.cache)
	}
	return nil
}

// wantLease checks X-Cache and the lease.
func (a answer) wantLease(cache, id string) error {
	if a.leaseID != id {
		return fmt.Errorf("the lease should be %s, not %s", id, a.leaseID)
	}
	return a.want(cache)
}

// send sends one request to Leasehold and prints what it and its answer look like, without secrets.
func (t *tour) send(method, path, body, token string) (answer, error) {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, t.proxy.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	header := ""
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
		header = "   X-Vault-Token: " + masked(token)
	}
	fmt.Fprintf(t.out, "   %s %s%s\n", method, path, header)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, cache: resp.Header.Get("X-Cache")}
	line := "   -> " + resp.Status
	if a.cache != "" {
		line += fmt.Sprintf("   X-Cache: %-4s   Age: %s", a.cache, cmp.Or(resp.Header.Get("Age"), "-"))
	}
	var secret struct {
		LeaseID       string `json:"lease_id"`
		LeaseDuration int    `json:"lease_duration"`
		Auth          struct {
			ClientToken string `json:"client_token"`
		}
		Errors []string
	}
	if len(bytes.TrimSpace(text)) > 0 {
		if err := json.Unmarshal(text, &secret); err != nil {
			return answer{}, fmt.Errorf("the answer to %s %s is no JSON: %w", method, path, err)
		}
	}
	if a.leaseID, a.token = secret.LeaseID, secret.Auth.ClientToken; a.leaseID != "" {
		line += fmt.Sprintf("   lease_id: %s   lease_duration: %d", a.leaseID, secret.LeaseDuration)
	}
	for _, e := range secret.Errors {
		line += "   error: " + e
	}
	fmt.Fprintln(t.out, line)
	return a, nil
}

// say prints a paragraph.
func (t *tour) say(format string, args ...any) { fmt.Fprintf(t.out, format+"\n\n", args...) }

// note prints a line below a stop's requests.
func (t *tour) note(format string, args ...any) { fmt.Fprintf(t.out, "   "+format+"\n", args...) }

// masked shows of a token that it is one.
func masked(token string) string { return token[:min(4, len(token))] + "****" }

// indent sets text off from the rest.
func indent(text string) string {
	return "   " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n   ")
}
