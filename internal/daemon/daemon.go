package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"leasehold/internal/config"
	"leasehold/internal/listener"
	"leasehold/internal/router"
	"leasehold/internal/vault"
)

// Options are what a daemon needs beyond its configuration.
type Options struct {
	Version string
	Log     *slog.Logger
	Token   vault.Token // used instead of auto_auth when there is no configuration file

	// Ready is called once: the listeners are bound, and an auto-auth token is held if there is to be one. It may be nil.
	Ready func(Started)

	Dumps <-chan io.Writer // each gets all metrics as text; it may be nil

	Load           func() (*config.Config, error) // the configuration as it is now; nil when there is no file
	Reload         <-chan struct{}                // each asks for a reload; it may be nil. With room for one, those that come meanwhile are one
	Stdout, Stderr io.Writer                      // where access_log writes to that names them; nil means the process's own

	Logs logs // what a reload changes about logging; it may be nil
}

// Started is what a daemon that is ready tells about itself.
type Started struct {
	Vault     string         // the address of Vault
	Listeners []string       // URLs
	Accessor  vault.Accessor // of the first login's token
}

// collectLess is how much more garbage may gather before it is collected, in bytes. So little lives in this process that the collector would
// otherwise run for every 4 MB that requests leave behind, at a tenth of the cost of all hits. Nothing is written there, so it takes no memory itself.
const collectLess = 8 << 20

// Run serves until ctx ends, quit is asked for, or a part fails. It returns nil for the first two, after requests under way have finished or
// shutdown_timeout has passed, and with exit_after_auth once every sink has the token.
func Run(ctx context.Context, cfg *config.Config, o Options) error {
	headroom := make([]byte, collectLess)
	defer runtime.KeepAlive(headroom)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p, err := build(cfg, o)
	if err != nil {
		return err
	}
	defer p.close()
	sockets, err := p.listen(ctx)
	if err != nil {
		return err
	}
	admin, err := p.openAdmin(ctx)
	if err != nil {
		closeAll(sockets)
		return err
	}
	if cfg.PIDFile != "" {
		remove, err := writePID(cfg.PIDFile)
		if err != nil {
			closeAll(append(sockets, admin...))
			return err
		}
		defer remove()
	}
	g, ctx := errgroup.WithContext(ctx)
	exit := p.watch(ctx)
	endAccess := p.access.start()
	defer endAccess() // after the listeners, whose last requests have lines too
	p.feed = router.NewFeed(ctx, p.history.since)
	r := p.newReloads(o, sockets, admin, stop)
	for i, ln := range sockets {
		s := settings(cfg.Listeners[i])
		s.Grace = p.drain
		g.Go(func() error { return listener.Serve(ctx, ln, &r.doors[i], s, p.drain(), p.log) })
	}
	for _, ln := range admin {
		g.Go(func() error {
			return listener.Serve(ctx, ln, &r.adminDoor, p.adminSettings(ln.Addr().String()), p.drain(), p.log)
		})
	}
	g.Go(func() error { r.run(ctx, o.Reload); return nil })
	g.Go(func() error { return p.upstream.Run(ctx) })
	g.Go(func() error { return p.whenOpen(ctx, func(ctx context.Context) error { return p.clock().Run(ctx) }) })
	g.Go(func() error { return p.whenOpen(ctx, p.journal.run) })
	g.Go(func() error {
		select {
		case err := <-p.failed:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error { return p.runLogins(ctx) })
	g.Go(func() error { return p.announce(ctx, sockets) })
	g.Go(func() error { p.dump(ctx, o.Dumps); return nil })
	g.Go(func() error { p.history.run(ctx, p.visible, p.sample); return nil })
	g.Go(func() error { p.notify.feed(ctx, func() error { return p.watched(ctx, sockets) }); return nil })
	g.Go(func() error {
		<-ctx.Done()
		now := time.Now()
		p.stopping.Store(&now)
		p.notify.Stopping()
		return nil
	})
	err = g.Wait()
	exit.finish(err)
	if err != nil && !errors.Is(err, errDone) {
		return err
	}
	p.log.Info("stopped")
	return nil
}

// dump writes the metrics to whoever asks, until ctx ends.
func (p *parts) dump(ctx context.Context, to <-chan io.Writer) {
	for {
		select {
		case w := <-to:
			if err := p.meters.Dump(w); err != nil {
				p.log.Warn("metrics not written", slog.Any("error", err))
			}
		case <-ctx.Done():
			return
		}
	}
}

// listen binds every listener of the configuration, or none. Its error names all that cannot be bound, one a line.
func (p *parts) listen(ctx context.Context) (sockets []*listener.Socket, err error) {
	inherited, err := listener.Inherit()
	if err != nil {
		return nil, err
	}
	defer func() { _ = inherited.Close() }() // nobody will use them
	var failed []error
	for _, l := range p.cfg.Listeners {
		s := settings(l)
		s.Inherited = inherited
		ln, err := listener.Open(ctx, s)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s%w", place(l.Pos), err))
			continue
		}
		sockets = append(sockets, ln)
		if ln.Inherited() && (l.SocketMode != 0 || l.SocketUser != "" || l.SocketGroup != "") {
			p.log.Warn("socket_mode, socket_user and socket_group have no effect on a socket of systemd; write SocketMode=, SocketUser= and SocketGroup= in its unit",
				slog.String("address", ln.Addr().String()))
		}
		p.log.Info("listening", slog.String("address", ln.Addr().String()), slog.Bool("tls", !l.TLSDisable))
		if p.pointsAt(ln.Addr()) {
			closeAll(sockets)
			return nil, fmt.Errorf("%sVault's address %s is Leasehold's own listener; set VAULT_ADDR or vault.address to Vault itself",
				place(p.cfg.Vault.Pos), p.upstream.Address())
		}
	}
	if len(failed) > 0 {
		closeAll(sockets)
		return nil, errors.Join(failed...)
	}
	p.bound = time.Now()
	if left := inherited.Unused(); left != "" {
		p.log.Warn("systemd has handed over sockets that no listener uses; give a listener their address, or systemd_socket", slog.String("sockets", left))
	}
	return sockets, nil
}

// announce waits for the first token of every login and tells that the daemon is ready. With the tokens of the last run it is so at once: hits need no
// Vault (hashicorp/vault#28305).
func (p *parts) announce(ctx context.Context, sockets []*listener.Socket) error {
	p.notify.Status("listening, not logged in yet")
	resuming, err := p.awaitLogins(ctx)
	if err != nil {
		return nil // asked to stop
	}
	started, log := Started{Vault: p.upstream.Address(), Accessor: p.accessor()}, p.log
	if resuming {
		log = log.With("login", resumed)
	}
	for i, ln := range sockets {
		started.Listeners = append(started.Listeners, urlOf(p.cfg.Listeners[i], ln.Addr()))
	}
	log.Info("ready", slog.String("vault", started.Vault), slog.Any("listeners", started.Listeners))
	p.notify.Started(statusLine(started))
	if p.ready != nil {
		p.ready(started)
	}
	return nil
}

// urlOf is where clients find a listener.
func urlOf(l config.Listener, at net.Addr) string {
	scheme := "https://"
	switch {
	case l.Type == "unix":
		scheme = "unix://"
	case l.TLSDisable:
		scheme = "http://"
	}
	return scheme + at.String()
}

// routes are what the router of one listener is made of.
func (p *parts) routes(cfg *config.Config, l config.Listener, rights router.Rights, stop func()) (router.Parts, router.Options) {
	routes := router.Parts{
		Metrics: p.scraped(), Quit: stop, Failed: p.unanswered, Log: p.log,
		Vault: p.upstream.Address(), Ready: p.readiness, Live: p.pulse.tell, Peer: peerOf, Denied: p.meters.Denied, Seen: p.seen, Active: &p.requests.Active,
		Tracer: p.tracer(), Inside: inside{p}, Feed: p.feed,
	}
	if p.needsVault() { // a login may be making the cache just now
		routes.Answer, routes.Clear = gate{p}, namedClear{p, gate{p}}
	} else {
		routes.Answer, routes.Clear = p.cache, namedClear{p, p.cache}
	}
	if cfg.AccessLog != nil { // it costs a lock
		routes.Accessor = p.index.Accessor
	}
	if one := p.logins.of(l.AutoAuth); one != nil { // a nil *Manager in an interface would not be nil
		routes.Tokens, routes.Reauth = one.manager, one.manager.Reauth
	}
	if l.Role == config.RoleAdmin && l.AutoAuth == "" && len(p.logins) > 0 {
		routes.Reauth = p.logins.reauth
	}
	return routes, router.Options{
		MetricsOnly:          l.Role == config.RoleMetricsOnly,
		RequireRequestHeader: l.RequireRequestHeader,
		EnableQuit:           l.EnableQuit,
		EnableReauth:         l.EnableReauth,
		EnableStatus:         l.EnableStatus,
		Admin:                l.Role == config.RoleAdmin,
		CacheOff:             cfg.Cache == nil,
		MaxRequestSize:       l.MaxRequestSize,
		MaxConcurrent:        l.MaxConcurrent,
		PrependNamespace:     vault.Namespace(cfg.APIProxy.PrependNamespace),
		TokenUse:             tokenUse[cfg.APIProxy.UseAutoAuthToken],
		AutoAuth:             l.AutoAuth,
		Rights:               rights,
		TrustParent:          trustsParent(cfg),
	}
}

// place is what an error about a stanza begins with; nothing when there is no file.
func place(at config.Pos) string {
	if at == (config.Pos{}) {
		return ""
	}
	return at.String() + ": "
}

func closeAll(sockets []*listener.Socket) {
	for _, ln := range sockets {
		_ = ln.Close() // nothing was accepted on it
	}
}
