package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/static"
	"leasehold/internal/config"
	"leasehold/internal/lease"
	"leasehold/internal/seal"
	"leasehold/internal/store"
	"leasehold/internal/vault"
)

// stateFile is the name of the state file in persist's directory.
const stateFile = "leasehold.db"

// openState opens the state file that the configuration asks for; state is nil when it asks for none. The file is bound to who logs in where: after
// a change of either it does not open, is set aside, and no secret or token of one Vault reaches another.
func openState(p *config.Persist, identity string, log *slog.Logger) (state *store.Store, keySecret *[32]byte, err error) {
	switch {
	case p == nil:
		return nil, nil, nil
	case p.Type != "file":
		log.Warn("the cache is in memory only: this type of persist is not built yet; use persist \"file\" with a key_file", slog.String("type", p.Type))
		return nil, nil, nil
	}
	key, err := seal.OpenKeyFile(p.KeyFile)
	if err == nil {
		key, err = key.For(identity)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%scache: %w", place(p.Pos), err)
	}
	state, err = store.Open(filepath.Join(p.Path, stateFile), key, log, store.Options{ExitOnErr: p.ExitOnErr})
	if err != nil {
		return nil, nil, fmt.Errorf("%scache: %w", place(p.Pos), err)
	}
	secret := key.Derive("cache keys")
	return state, &secret, nil
}

// identity names the Vault and the login that a state file belongs to.
func (p *parts) identity() string {
	parts := []string{p.upstream.Address(), p.cfg.Vault.Namespace}
	if a := p.cfg.AutoAuth; a != nil {
		m := a.Method
		parts = append(parts, m.Type, m.MountPath, m.Namespace, m.Settings.String("role_id_file_path"), m.Settings.String("token_file_path"))
	}
	return strings.Join(parts, "\x00")
}

// journal is the state file as the lease index sees it.
type journal struct{ store *store.Store }

func (j journal) Write(changes []lease.Change) error {
	out := make([]store.Change, len(changes))
	for i, c := range changes {
		out[i] = store.Change{ID: c.ID, Plain: c.Record}
	}
	return j.store.Write(context.Background(), out...)
}

func (j journal) Each(f func(record []byte) error) error {
	_, err := j.store.Each(f)
	return err
}

// restore fills the index from the state file and returns the auto-auth token of the last run.
func (p *parts) restore() (vault.Token, error) {
	if p.state == nil {
		return vault.Token{}, nil
	}
	out, err := p.index.Restore(time.Now())
	if err != nil {
		return vault.Token{}, err
	}
	p.log.Info("cache restored", slog.Int("entries", out.Entries), slog.Int("dropped", out.Dropped))
	return out.Auto, nil
}

// resume tries the auto-auth token of the last run before it logs in: its leases hang on it, and a secret id may be good for one login only
// (hashicorp/vault#16148).
type resume struct {
	autoauth.Method
	token vault.Token // zero once it was found good or refused
}

func (r *resume) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	if r.token.IsZero() {
		return r.Method.Login(ctx, c)
	}
	plain, err := c.CloneWithHeaders() // with the namespace; what the lookup sets must not go along with a login
	if err != nil {
		return nil, fmt.Errorf("prepare a lookup of the last run's token: %w", err)
	}
	secret, err := static.New(r.token).Login(ctx, plain)
	answer, ok := errors.AsType[*api.ResponseError](err)
	if ok && answer.StatusCode >= http.StatusBadRequest && answer.StatusCode < http.StatusInternalServerError {
		r.token = vault.Token{}
		return r.Method.Login(ctx, c)
	}
	if err == nil {
		r.token = vault.Token{}
	}
	return secret, err
}
