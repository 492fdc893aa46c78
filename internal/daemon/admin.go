package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"leasehold/internal/api"
	"leasehold/internal/config"
	"leasehold/internal/listener"
)

// openAdmin opens the admin socket: one, or none. One that the configuration does not name is a convenience, and no reason not to start.
func (p *parts) openAdmin(ctx context.Context) ([]*listener.Socket, error) {
	path, asked := p.cfg.AdminSocket, p.cfg.AdminSocket != ""
	if path == api.SocketOff {
		return nil, nil
	}
	if !asked {
		usual := api.Sockets(os.Getenv)
		if len(usual) == 0 {
			return nil, nil
		}
		path = usual[0]
		if err := makeRoom(path); err != nil {
			p.log.Debug("no admin socket: its directory cannot be made", slog.Any("error", err))
			return nil, nil
		}
	}
	ln, err := listener.Open(ctx, p.adminSettings(path))
	switch {
	case err == nil:
		p.log.Info("admin socket open", slog.String("path", path))
		return []*listener.Socket{ln}, nil
	case asked:
		return nil, fmt.Errorf("admin_socket: %w", err)
	case errors.Is(err, fs.ErrPermission):
		p.log.Debug("no admin socket", slog.Any("error", err))
	default:
		p.log.Info("no admin socket: another Leasehold may have it; name one with admin_socket, or write \"off\"", slog.Any("error", err))
	}
	return nil, nil
}

// makeRoom makes the directory of a socket. Others may look into it, since sockets of listeners may stand there as well: what is not theirs has a mode.
func makeRoom(path string) error {
	err := os.Mkdir(filepath.Dir(path), 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// adminListener is the admin socket in the terms of a configuration.
func adminListener(path string) config.Listener {
	return config.Listener{
		Type: "unix", Address: path, SocketMode: 0o600, TLSDisable: true, Role: config.RoleAdmin, MaxRequestSize: 1 << 20, MaxHeaderSize: 1 << 20,
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute,
	}
}

func (p *parts) adminSettings(path string) listener.Settings {
	s := settings(adminListener(path))
	s.Grace = p.drain
	return s
}

// reauth has every login log in anew.
func (l logins) reauth(ctx context.Context) error {
	var g errgroup.Group
	for _, one := range l {
		g.Go(func() error {
			if err := one.manager.Reauth(ctx); err != nil {
				return fmt.Errorf("%s: %w", one.name.Stanza(), err)
			}
			return nil
		})
	}
	return g.Wait()
}
