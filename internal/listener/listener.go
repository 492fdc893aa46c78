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
	"time"

	"golang.org/x/sync/errgroup"
)

// Serve answers requests on ln until ctx ends, then lets those under way finish for at most grace and cuts the rest. A [Socket] takes up its certificate,
// key and client CA anew whenever their files change.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, s Settings, grace time.Duration, logger *slog.Logger) error {
	srv := &http.Server{
		Handler:           paced(bounded(h, s.MaxDuration), s.ReadTimeout),
		ReadHeaderTimeout: cmp.Or(s.ReadHeaderTimeout, s.ReadTimeout),
		WriteTimeout:      s.WriteTimeout,
		IdleTimeout:       cmp.Or(s.IdleTimeout, s.ReadTimeout),
		MaxHeaderBytes:    s.MaxHeaderSize,
		ErrorLog:          log.New(problems{logger}, "", 0),
		ConnContext:       withPeer,

		DisableGeneralOptionsHandler: true, // "OPTIONS *" is a request as others are: it may be denied, and has a line in the access log
	}
	g, ended := errgroup.WithContext(ctx)
	if socket, ok := ln.(*Socket); ok {
		g.Go(func() error { socket.watch(ended, s.FileInterval, logger); return nil })
	}
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
