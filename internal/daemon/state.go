package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"leasehold/internal/config"
	"leasehold/internal/lease"
	"leasehold/internal/seal"
	"leasehold/internal/store"
)

// stateFile is the name of the state file in persist's directory.
const stateFile = "leasehold.db"

// protect returns what wraps the key of the state file. Type "transit" is not its business: its key is had after a login.
func protect(p *config.Persist, log *slog.Logger) (seal.Wrapper, error) {
	var key *seal.Key
	var err error
	switch p.Type {
	case "systemd":
		key, err = seal.OpenCredential(p.Credential)
	case "auto":
		if seal.HasCredential(p.Credential) {
			key, err = seal.OpenCredential(p.Credential)
		} else {
			key, err = seal.OpenKeyFile(p.KeyFile)
		}
	case "env":
		log.Warn("the key of the state file is in the environment, which other processes of this user and whoever starts this one may see; that is for tests",
			slog.String("variable", p.KeyEnv))
		key, err = seal.OpenVariable(p.KeyEnv)
	case "kubernetes":
		var bound string
		key, bound, err = seal.OpenServiceAccount(p.ServiceAccountTokenFile)
		if err == nil && bound == "claims" {
			log.Warn("the key of the state file is made of the names and uids of this pod and its service account, which are no secrets: it keeps the file from other pods, "+
				"and not from someone who can look them up; persist \"file\" or \"transit\" protect better", slog.String("file", filepath.Join(p.Path, stateFile)))
		}
	default:
		key, err = seal.OpenKeyFile(p.KeyFile)
	}
	if err != nil {
		return nil, err
	}
	return seal.Local(key), nil
}

// persists reports whether the configuration asks for a state file.
func (p *parts) persists() bool { return p.cfg.Cache != nil && p.cfg.Cache.Persist != nil }

// needsVault reports whether the state file's key is at Vault, so that it cannot be opened before a login.
func (p *parts) needsVault() bool { return p.persists() && p.cfg.Cache.Persist.Type == "transit" }

// statePath is where the state file is.
func (p *parts) statePath() string { return filepath.Join(p.cfg.Cache.Persist.Path, stateFile) }

// probeState tells what is wrong with the state file before its key is at hand.
func (p *parts) probeState() error {
	persist := p.cfg.Cache.Persist
	if err := store.Probe(p.statePath(), store.Options{ExitOnErr: persist.ExitOnErr}); err != nil {
		return fmt.Errorf("%scache: %w", place(persist.Pos), err)
	}
	return nil
}

// openState opens the state file and fills the index from it. The file is bound to who logs in where: after a change of either it is set aside, and no
// secret or token of one Vault reaches another. Where the file cannot be used now the cache is in memory only, unless exit_on_err.
func (p *parts) openState(ctx context.Context, w seal.Wrapper) error {
	p.fileOpened = time.Now()
	persist := p.cfg.Cache.Persist
	state, err := store.Open(ctx, p.statePath(), w, p.log, store.Options{
		ExitOnErr: persist.ExitOnErr, Identity: p.identity(), Protection: persist.Type, OnCommit: p.meters.Committed,
	})
	if errors.Is(err, store.ErrUnavailable) && !persist.ExitOnErr {
		p.log.Error("going on without the state file: the cache is in memory only until the next start", slog.Any("error", err))
		p.fileTrouble = err
		p.detach()
		return nil
	}
	if err != nil {
		return fmt.Errorf("%scache: %w", place(persist.Pos), err)
	}
	p.journal.store.Store(state)
	return p.restore(state)
}

// restore fills the index from the state file.
func (p *parts) restore(state *store.Store) error {
	began := time.Now()
	out, err := p.index.Restore(began)
	if err != nil {
		return err
	}
	p.restored = out
	p.meters.Restored(out.Entries, out.Expired, out.Orphaned, out.Unreadable, out.Revoked)
	if state.IsNew() {
		return nil
	}
	told := []slog.Attr{
		slog.Int("entries", out.Entries), slog.Int("tokens", out.Tokens), slog.Int("expired", out.Expired), slog.Int("orphaned", out.Orphaned),
		slog.Int("unreadable", out.Unreadable), slog.Int("revoked", out.Revoked), slog.Duration("took", time.Since(began)),
	}
	if !out.NextDue.IsZero() {
		told = append(told, slog.Time("next_due", out.NextDue))
	}
	p.log.LogAttrs(context.Background(), slog.LevelInfo, "cache restored", told...)
	if persist := p.cfg.Cache.Persist; persist.Type != "kubernetes" || persist.KeepAfterImport {
		return nil
	}
	// As Vault Agent does it: the file was there to be handed over.
	p.detach()
	if err := state.Discard(); err != nil {
		return fmt.Errorf("%scache: %w", place(p.cfg.Cache.Persist.Pos), err)
	}
	p.log.Info("state file removed after it was read: keep_after_import is not set; the cache is in memory only")
	return nil
}

// detach leaves the cache in memory only.
func (p *parts) detach() {
	p.detached = true
	p.index.Detach()
}

// identity names the Vault and the logins that a state file belongs to.
func (p *parts) identity() string {
	parts := []string{p.upstream.Address(), p.cfg.Vault.Namespace}
	for _, a := range slices.SortedFunc(slices.Values(p.cfg.AutoAuths), func(a, b config.AutoAuth) int { return cmp.Compare(a.Name, b.Name) }) {
		m := a.Method
		parts = append(parts, string(a.Name), m.Type, m.MountPath, m.Namespace)
		for _, key := range [...]string{"role_id_file_path", "token_file_path", "role", "name", "username"} { // who logs in, by whatever method
			parts = append(parts, m.Settings.String(key))
		}
	}
	return strings.Join(parts, "\x00")
}

// journal is the state file as the lease index sees it, from when it is open.
type journal struct{ store atomic.Pointer[store.Store] }

// errNotOpen cannot be seen by a client: nothing is kept before the file is open.
var errNotOpen = errors.New("the state file is not open")

func (j *journal) Write(changes []lease.Change) error {
	s := j.store.Load()
	if s == nil {
		return errNotOpen
	}
	out := make([]store.Change, len(changes))
	for i, c := range changes {
		out[i] = store.Change{ID: c.ID, Plain: c.Record}
	}
	return s.Write(context.Background(), out...)
}

func (j *journal) Each(f func(record []byte) (keep bool, err error)) (unreadable int, err error) {
	s := j.store.Load()
	if s == nil {
		return 0, errNotOpen
	}
	return s.Each(f)
}

func (j *journal) Discard() error {
	s := j.store.Load()
	if s == nil {
		return errNotOpen
	}
	return s.Discard()
}

// run looks after the file, if there is one.
func (j *journal) run(ctx context.Context) error {
	if s := j.store.Load(); s != nil {
		return s.Run(ctx)
	}
	return nil
}

func (j *journal) close() error {
	if s := j.store.Load(); s != nil {
		return s.Close()
	}
	return nil
}

// secret is what the hashes of requests are made with: that of the file, so that restored entries are found again.
func (j *journal) secret() *[32]byte {
	s := j.store.Load()
	if s == nil {
		return nil
	}
	secret := s.Secret("cache keys")
	return &secret
}
