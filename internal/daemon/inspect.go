package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"time"

	"leasehold/internal/config"
	"leasehold/internal/lease"
	"leasehold/internal/seal"
	"leasehold/internal/store"
)

// StateReport is what a state file holds. It holds no secret, no path and no lease id.
type StateReport struct {
	store.Report

	// The following are zero unless the key was at hand.
	Leases         int       `json:"leases"`
	Tokens         int       `json:"tokens"`
	AutoAuthTokens int       `json:"auto_auth_tokens"`
	Revocations    int       `json:"revocations"`        // that were under way: the next start takes them to have been carried out
	Expired        int       `json:"expired"`            // records that the next start would drop, since they have ended
	FirstEnd       time.Time `json:"first_end,omitzero"` // of those that have not
	LastEnd        time.Time `json:"last_end,omitzero"`
}

// InspectState reads the state file at path without changing it; an error says that it is not whole, or cannot be read. With the configuration that it
// belongs to, which may be nil, it also opens every record, unless the key is at Vault.
func InspectState(ctx context.Context, path string, cfg *config.Config) (StateReport, error) {
	var r StateReport
	if err := readable(path); err != nil {
		return r, fmt.Errorf("state file %s: %w", path, err)
	}
	w, err := inspectionKey(cfg)
	if err != nil {
		return r, err
	}
	now := time.Now()
	r.Report, err = store.Inspect(ctx, path, w, func(plain []byte) { r.add(plain, now) })
	return r, err
}

// readable says what a person can do about a file that cannot be read. The store's own remedies are for whoever writes to it.
func readable(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // without O_NONBLOCK, opening a pipe would wait for its writer
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no such file; name the %s in the path of persist", stateFile)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; let uid %d read it, or run this as the user of Leasehold", err, os.Geteuid())
	case err != nil:
		return err
	}
	defer func() { _ = f.Close() }() // nothing was read
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("it is not a regular file; name the %s in the path of persist", stateFile)
	}
	return err
}

// inspectionKey is the key of the configuration's state file; nil when there is none that could be had here. Unlike a start it makes no new one.
func inspectionKey(cfg *config.Config) (seal.Wrapper, error) {
	if cfg == nil {
		return nil, nil
	}
	if cfg.Cache == nil || cfg.Cache.Persist == nil {
		return nil, errors.New("the configuration has no persist block; name the one that the state file belongs to")
	}
	persist := cfg.Cache.Persist
	if persist.Type == "transit" {
		return nil, nil
	}
	if persist.KeyFile != "" && (persist.Type == "file" || !seal.HasCredential(persist.Credential)) {
		if _, err := os.Stat(persist.KeyFile); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("key file %s does not exist; restore it", persist.KeyFile)
		}
	}
	return protect(persist, slog.New(slog.DiscardHandler))
}

// add counts one record.
func (r *StateReport) add(plain []byte, now time.Time) {
	info, err := lease.InspectRecord(plain)
	if err != nil {
		r.Unreadable++
		return
	}
	switch info.Kind {
	case "lease":
		r.Leases++
	case "token":
		r.Tokens++
	case "revocation":
		r.Revocations++
	default:
		r.AutoAuthTokens++
	}
	switch end := info.End; {
	case end.IsZero():
	case !end.After(now):
		r.Expired++
	default:
		if r.FirstEnd.IsZero() || end.Before(r.FirstEnd) {
			r.FirstEnd = end
		}
		if end.After(r.LastEnd) {
			r.LastEnd = end
		}
	}
}
