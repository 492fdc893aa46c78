package wrapped

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/vault"
)

// path is where Vault wraps what it is sent.
const path = "sys/wrapping/wrap"

// store is where what was wrapped goes: a file, or an encryption in front of one.
type store interface {
	Name() string
	Store(ctx context.Context, content []byte) error
}

// Sink has each token wrapped, and stores what its reader needs to unwrap it once.
type Sink struct {
	inner  store
	client *api.Client
	ns     vault.Namespace
	ttl    time.Duration
}

// New makes a sink that stores in inner. The client becomes the sink's own; its token, if any, is never sent. The namespace is the token's;
// the ttl, more than 0, is how long the reader may wait.
func New(inner store, client *api.Client, ns vault.Namespace, ttl time.Duration) *Sink {
	client.SetMaxRetries(0) // whoever writes to the sink repeats what failed
	return &Sink{inner: inner, client: client, ns: ns, ttl: ttl}
}

// Name is the inner sink's.
func (s *Sink) Name() string { return s.inner.Name() }

// Write asks Vault once to wrap the token, as the token itself. A repetition wraps again: the wrapping token before, which nobody has got, ends with
// its ttl.
func (s *Sink) Write(ctx context.Context, t vault.Token) error {
	c := s.client.WithNamespace(string(s.ns))
	c.SetToken(t.Reveal())
	c.SetWrappingLookupFunc(func(string, string) string { return s.ttl.String() })
	secret, err := c.Logical().WriteWithContext(ctx, path, map[string]any{"token": t.Reveal()})
	if err != nil {
		return explain(err)
	}
	if secret == nil || secret.WrapInfo == nil || secret.WrapInfo.Token == "" {
		return errors.New("Vault did not wrap the token: its answer has no wrap_info; check what stands between Leasehold and Vault")
	}
	// The reader may look the path up before it trusts the wrapping token.
	if p := secret.WrapInfo.CreationPath; p != path && p != string(s.ns)+path {
		return fmt.Errorf("Vault's answer was wrapped at another path than %s; check what stands between Leasehold and Vault", path)
	}
	content, err := Content(secret.WrapInfo)
	if err != nil {
		return err
	}
	return s.inner.Store(ctx, content)
}

// Content is what a sink holds for a wrapping token: one line of JSON, in Vault's words.
func Content(info *api.SecretWrapInfo) ([]byte, error) {
	b, err := json.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("wrap_info: %w", err)
	}
	return append(b, '\n'), nil
}

// explain keeps of an error answer what Vault itself says: a page of something in between might echo the request, and the token with it.
func explain(err error) error {
	if _, network := errors.AsType[*url.Error](err); network {
		return fmt.Errorf("wrap the token: %w; check that Vault runs there and that vault.address or VAULT_ADDR is right", err)
	}
	resp, ok := errors.AsType[*api.ResponseError](err)
	if !ok {
		return fmt.Errorf("wrap the token: %w", err)
	}
	why, remedy := http.StatusText(resp.StatusCode), "see Vault's log"
	if !resp.RawError && len(resp.Errors) > 0 {
		why = strings.Join(strings.Fields(strings.Join(resp.Errors, ", ")), " ")
	}
	switch {
	case vault.SaysTokenGone(why):
		remedy = "the next login brings another token"
	case resp.StatusCode == http.StatusForbidden:
		remedy = "let the token's policies update " + path + ", as Vault's default policy does"
	case resp.StatusCode == http.StatusBadRequest:
		remedy = "lower the sink's wrap_ttl"
	}
	return fmt.Errorf("Vault did not wrap the token (%d: %s); %s", resp.StatusCode, why, remedy)
}
