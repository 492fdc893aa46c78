package listener

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// keepAlive is the TCP keep-alive period of accepted connections, as Vault Proxy's.
const keepAlive = 3 * time.Minute

// Settings are those of one listener "tcp".
type Settings struct {
	Address           string               // host:port; port 0 takes a free one
	CertFile, KeyFile string               // PEM; both empty serves plain HTTP
	ReadHeaderTimeout time.Duration        // 0 means ReadTimeout
	ReadTimeout       time.Duration        // for each 64 KiB of a request's body; 0 means no limit
	WriteTimeout      time.Duration        // for a whole answer; 0 means no limit
	IdleTimeout       time.Duration        // between requests; 0 means ReadTimeout
	Grace             func() time.Duration // asked when the stop begins, instead of Serve's grace; nil for that
	MaxHeaderSize     int                  // bytes of a request's line and headers, 431 beyond; 0 means 1 MiB
}

func bind(ctx context.Context, s Settings) (net.Listener, error) {
	config := net.ListenConfig{KeepAlive: keepAlive}
	ln, err := config.Listen(ctx, network(s.Address), s.Address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listener: %s is in use by another process; stop it or choose another address", s.Address)
	}
	if err != nil {
		return nil, fmt.Errorf("listener: cannot listen on %s: %w; choose an address of this machine", s.Address, err)
	}
	return ln, nil
}

// network keeps an IPv4 address to IPv4: 0.0.0.0 must not open the machine's IPv6 side as well.
func network(address string) string {
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().Is4() {
		return "tcp4"
	}
	return "tcp"
}

// Serve answers requests on ln until ctx ends, then lets those under way finish for at most grace and cuts the rest.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, s Settings, grace time.Duration, logger *slog.Logger) error {
	srv := &http.Server{
		Handler:           paced(h, s.ReadTimeout),
		ReadHeaderTimeout: cmp.Or(s.ReadHeaderTimeout, s.ReadTimeout),
		WriteTimeout:      s.WriteTimeout,
		IdleTimeout:       cmp.Or(s.IdleTimeout, s.ReadTimeout),
		MaxHeaderBytes:    s.MaxHeaderSize,
		ErrorLog:          log.New(problems{logger}, "", 0),
	}
	g, ended := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("listener: accept on %s: %w", ln.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-ended.Done() // ctx is over by now, so draining needs a deadline of its own
		if s.Grace != nil {
			grace = s.Grace()
		}
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if err := srv.Shutdown(drain); err != nil {
			logger.Warn("requests under way were cut: shutdown_timeout has passed", slog.Duration("shutdown_timeout", grace))
			return ignoreClosed(srv.Close())
		}
		return nil
	})
	return g.Wait()
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// problems takes net/http's complaints. Those about single connections (bad TLS handshakes) are for debugging; a handler that panicked is a bug.
type problems struct{ log *slog.Logger }

func (p problems) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.HasPrefix(line, []byte("http: panic serving")) {
		level = slog.LevelError
	}
	p.log.Log(context.Background(), level, "connection", slog.String("problem", string(bytes.TrimSpace(line))))
	return len(line), nil
}
