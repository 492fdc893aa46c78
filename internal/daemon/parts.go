package daemon

import (
	"context"
	"crypto/ecdh"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"leasehold/internal/cache"
	"leasehold/internal/config"
	"leasehold/internal/lease"
	"leasehold/internal/listener"
	"leasehold/internal/router"
	"leasehold/internal/telemetry"
	"leasehold/internal/upstream"
	"leasehold/internal/vault"
)

// parts are what a daemon is made of, in dependency order.
type parts struct {
	now   atomic.Pointer[config.Config] // what holds: cfg with what reloads have changed
	cfg   *config.Config
	log   *slog.Logger
	ready func(Started)

	folding  *telemetry.Folding
	failures *slog.Logger // log, for those who fail again and again: what they say is summarised

	started time.Time
	version string
	notify  *notifier
	ring    *telemetry.Ring
	hasher  *vault.Hasher // of what is told about accessors and leases
	open    atomic.Pointer[[]openListener]
	reload  atomic.Pointer[reloaded] // the last; nil before the first
	history history
	feed    *router.Feed // set before the listeners serve

	bound    time.Time                 // when the listeners were; set before they serve
	stopping atomic.Pointer[time.Time] // since when the stop is under way; nil before
	pulse    *pulse

	vaultSettings upstream.Settings
	upstream      *upstream.Client
	journal       journal // without a store when the cache is in memory only
	index         *lease.Index
	meters        *telemetry.Meters
	requests      *telemetry.Requests
	access        *accessLog
	traces        *telemetry.Traces // nil without a traces block
	restored      lease.Restored
	sinkKey       *ecdh.PrivateKey // of encrypted sinks; nil before the first
	detached      bool             // the cache is in memory only, although a state file is configured; set before opened is closed
	fileOpened    time.Time        // when the state file was opened, or given up; likewise
	fileTrouble   error            // why it was given up; nil when that was asked for; likewise
	logins        logins
	built         atomic.Bool     // all parts are there
	rights        []router.Rights // of each listener, until a reload

	opened chan struct{} // closed when there is a cache: at once, or when Vault has given the state file's key
	cache  *cache.Cache
	renews *lease.Clock // nil until there is a cache
	tuning sync.Mutex   // held while what now says is put into cache and renews, which a login may be making
	failed chan error   // capacity 1: what ends the daemon although no part has ended
}

// build makes all parts; it opens no socket and starts nothing that needs an end but what close ends.
func build(cfg *config.Config, o Options) (*parts, error) {
	ring := telemetry.NewRing(o.Log.Handler())
	o.Log = slog.New(ring)
	p := &parts{cfg: cfg, log: o.Log, notify: newNotifier(o.Log), ready: o.Ready, started: time.Now(), opened: make(chan struct{}), failed: make(chan error, 1)}
	p.folding = telemetry.Fold(o.Log.Handler())
	p.failures = slog.New(p.folding)
	p.version, p.ring, p.hasher = o.Version, ring, vault.NewHasher()
	p.pulse = newPulse(p.works, p.started)
	if err := p.build(o); err != nil {
		p.close()
		return nil, err
	}
	p.built.Store(true)
	return p, nil
}

func (p *parts) build(o Options) (err error) {
	p.now.Store(p.cfg)
	if p.rights, err = rightsOf(p.cfg.Listeners); err != nil {
		return err
	}
	if p.traces, err = p.newTraces(o.Version); err != nil {
		return err
	}
	p.index = p.newIndex()
	p.requests = telemetry.NewRequests(router.Routes(), router.Outcomes())
	p.access = newAccessLog(&p.requests.Unlogged, p.hasher, o)
	begin, err := p.access.prepare(nil, p.cfg)
	if err != nil {
		return fmt.Errorf("%s%w", place(p.cfg.AccessLog.Pos), err)
	}
	begin()
	if p.meters, err = p.newMeters(o.Version); err != nil {
		return err
	}
	v := p.cfg.Vault
	p.vaultSettings = p.upstreamSettings(p.cfg, o.Version)
	p.upstream, err = upstream.New(p.vaultSettings)
	if err != nil {
		return fmt.Errorf("%svault: %w", place(v.Pos), err)
	}
	if p.persists() && !p.needsVault() {
		w, err := protect(p.cfg.Cache.Persist, p.log)
		if err != nil {
			return fmt.Errorf("%scache: %w", place(p.cfg.Cache.Persist.Pos), err)
		}
		if err := p.openState(context.Background(), w); err != nil {
			return err
		}
	}
	if p.logins, err = p.newLogins(o); err != nil {
		return err
	}
	p.releaseStrangers()
	if p.needsVault() { // before a secret id is spent on a file that cannot be used
		return p.probeState()
	}
	return p.openCache()
}

// upstreamSettings are what a configuration says of Vault.
func (p *parts) upstreamSettings(cfg *config.Config, version string) upstream.Settings {
	v := cfg.Vault
	return upstream.Settings{
		Address: v.Address, Addresses: v.Addresses, HealthInterval: v.HealthInterval, CACert: v.CACert, CAPath: v.CAPath, ClientCert: v.ClientCert, ClientKey: v.ClientKey,
		TLSServerName: v.TLSServerName, TLSSkipVerify: v.TLSSkipVerify, NumRetries: v.Retry.NumRetries,
		Product: "Leasehold/" + version, Log: p.failures, Tracer: p.tracer(), IgnoreEnv: config.VaultVariables, LoginHeaders: v.LoginHeaders,
		Retry:         upstream.Retry{SafeOnly: v.Retry.SafeOnly, MaxWait: v.Retry.MaxWait, MaxReplaySize: v.Retry.MaxReplaySize},
		PassRedirects: v.PassRedirects, RedirectHosts: v.RedirectHosts,
		Consistency: consistency[cfg.APIProxy.Consistency], ForwardedFor: forwardedFor[cfg.APIProxy.XForwardedFor],
		Proxying: upstream.Connections(cfg.Connections.Proxying), AutoAuth: upstream.Connections(cfg.Connections.AutoAuth),
		Reached: func() { p.logins.vaultAnswers() }, Meter: p.meters,
	}
}

// openCache is the last step of build. It waits for the state file, whose secret is part of the hashes that requests are found by.
func (p *parts) openCache() (err error) {
	p.tuning.Lock()
	defer p.tuning.Unlock()
	options := cacheOptions(p.now.Load())
	options.KeySecret, options.Tracer = p.journal.secret(), p.tracer()
	if len(p.logins) == 0 { // none in an interface would not be nil
		p.cache, err = cache.New(p.index, p.upstream, nil, p.meters, options)
	} else {
		p.cache, err = cache.New(p.index, p.upstream, p.logins, p.meters, options)
	}
	if err == nil {
		close(p.opened)
	}
	return err
}

func cacheOptions(cfg *config.Config) cache.Options {
	c := cfg.Cache
	if c == nil {
		return cache.Options{Off: true}
	}
	return cache.Options{ReplayTTL: !c.ReportRemainingTTL, MaxEntrySize: c.MaxEntrySize}
}

// indexOptions are what a configuration says of the index, and a reload may change.
func indexOptions(cfg *config.Config) (o lease.Options) {
	if c := cfg.Cache; c != nil {
		o.MaxBytes, o.MaxEntries, o.RenewAt, o.Rules = c.MaxSize, c.MaxEntries, c.RenewAt, rules(c)
	}
	return o
}

// fail ends the daemon.
func (p *parts) fail(err error) {
	select {
	case p.failed <- err:
	default: // it ends already
	}
}

// whenOpen runs f when there is a cache.
func (p *parts) whenOpen(ctx context.Context, f func(context.Context) error) error {
	select {
	case <-p.opened:
		return f(ctx)
	case <-ctx.Done():
		return nil
	}
}

func (p *parts) newIndex() *lease.Index {
	o := indexOptions(p.cfg)
	o.Log, o.OnFull = p.log, func(first bool) {
		p.meters.Full()
		if first {
			entries, size, _ := p.index.Stats()
			p.log.Warn("the cache is full: new leases pass through without being kept; raise max_size or max_entries",
				slog.Int("entries", entries), slog.Int64("bytes", size))
		}
	}
	o.AutoAuthPaths = map[vault.AutoAuthName]string{}
	for _, a := range p.cfg.AutoAuths {
		if a.Method.Type != "token_file" {
			o.AutoAuthPaths[a.Name] = a.Method.MountPath + "/login/"
		}
	}
	if p.persists() {
		o.Journal = &p.journal
	}
	return lease.NewIndex(o)
}

// rules are those of the configuration, and the cache stanza itself for all other paths.
func rules(c *config.Cache) []lease.Rule {
	var all []lease.Rule
	for _, r := range c.Rules {
		all = append(all, lease.Rule{
			Path: r.Path, Pass: !r.Cache, NonRenewable: r.CacheNonRenewable, RefreshAhead: r.RefreshAhead, ReplaceBefore: r.ReplaceBefore,
		})
	}
	return append(all, lease.Rule{NonRenewable: c.CacheNonRenewable, RefreshAhead: c.RefreshAhead, ReplaceBefore: c.ReplaceBefore})
}

// clock renews what the index holds.
func (p *parts) clock() *lease.Clock {
	o := lease.ClockOptions{OnDone: p.meters.Renewal, Refresh: p.cache.Refresh, OnGone: p.logins.Invalidate, Tracer: p.tracer()}
	p.tuning.Lock()
	defer p.tuning.Unlock()
	if c := p.now.Load().Cache; c != nil {
		o.RenewRate = c.RenewRate
	}
	p.renews = lease.NewClock(p.index, p.upstream, p.failures, o)
	return p.renews
}

// close ends what build began, whole or in part.
func (p *parts) close() {
	p.folding.Close()
	if p.cache != nil {
		p.cache.Close()
	}
	err := p.journal.close() // before anything that waits for others, since a supervisor's patience may end meanwhile
	if err = errors.Join(err, p.sendLast()); err != nil {
		p.log.Warn("not everything could be closed", slog.Any("error", err))
	}
}

// unanswered is told of every request that got no answer from Vault.
func (p *parts) unanswered(r *http.Request, status int, err error) {
	p.meters.Failed(status)
	level := slog.LevelWarn
	if status < http.StatusInternalServerError || errors.Is(err, upstream.ErrAway) {
		level = slog.LevelDebug // the client left, or was told what is wrong with its request; or the log has said what is wrong
	}
	p.failures.Log(r.Context(), level, "request not answered by Vault", slog.String("method", vault.LogMethod(r.Method)), slog.Int("status", status), slog.Any("error", err))
}

// pointsAt tells whether an address of Vault is addr, which happens when a shell is set up for Leasehold's clients.
func (p *parts) pointsAt(addr net.Addr) bool {
	return slices.ContainsFunc(p.upstream.Addresses(), func(vault string) bool { return isAt(vault, addr) })
}

func isAt(vault string, addr net.Addr) bool {
	u, err := url.Parse(vault)
	if err != nil {
		return false
	}
	if socket, ok := addr.(*net.UnixAddr); ok {
		return u.Scheme == "unix" && filepath.Clean(u.Path) == filepath.Clean(socket.Name)
	}
	if u.Port() == "" {
		return false
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil || port != u.Port() {
		return false
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	tcp, ok := addr.(*net.TCPAddr)
	return ok && (host == "localhost" && (tcp.IP.IsLoopback() || tcp.IP.IsUnspecified()) || ip != nil && (tcp.IP.Equal(ip) || tcp.IP.IsUnspecified() && ip.IsLoopback()))
}

func settings(l config.Listener) listener.Settings {
	s := listener.Settings{
		Unix: l.Type == "unix", Address: l.Address, SocketMode: l.SocketMode, SocketUser: l.SocketUser, SocketGroup: l.SocketGroup, SystemdSocket: l.SystemdSocket,
		MaxDuration: l.MaxDuration, ReadHeaderTimeout: l.ReadHeaderTimeout, ReadTimeout: l.ReadTimeout,
		WriteTimeout: l.WriteTimeout, IdleTimeout: l.IdleTimeout, MaxHeaderSize: int(l.MaxHeaderSize),
	}
	if !l.TLSDisable {
		s.CertFile, s.KeyFile, s.ClientCAFile = l.TLSCertFile, l.TLSKeyFile, l.TLSClientCAFile
		s.MinVersion, s.MaxVersion, s.CipherSuites = l.TLSMinVersion, l.TLSMaxVersion, l.TLSCipherSuites
		s.RequireClientCert, s.DisableClientCerts = l.RequireClientCert, l.DisableClientCerts
	}
	return s
}

var consistency = map[config.Consistency]upstream.Consistency{
	config.ConsistencyNever: upstream.ConsistencyNever, config.ConsistencyFail: upstream.ConsistencyFail,
	config.ConsistencyRetry: upstream.ConsistencyRetry, config.ConsistencyForward: upstream.ConsistencyForward,
}

var forwardedFor = map[config.ForwardedFor]upstream.ForwardedFor{
	config.ForwardedForOff: upstream.ForwardedForOff, config.ForwardedForAppend: upstream.ForwardedForAppend,
	config.ForwardedForReplace: upstream.ForwardedForReplace,
}

var tokenUse = map[config.TokenUse]router.TokenUse{
	config.Never: router.Never, config.WhenAbsent: router.WhenAbsent, config.Force: router.Force,
}
