package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"leasehold/internal/config"
	"leasehold/internal/listener"
	"leasehold/internal/router"
)

// logs are what a reload changes about logging.
type logs interface {
	SetLevel(slog.Level)
	Reopen() error // the log file by its name, for a logrotate that has moved it
}

// door is what a listener serves: the router of the last reload.
type door struct{ routes atomic.Pointer[http.Handler] }

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*d.routes.Load()).ServeHTTP(w, r) }

// reloads changes a running daemon after its configuration. Everything that can fail is done before anything is changed: a reload happens whole or
// not at all. One goroutine, run's, does one after the other.
type reloads struct {
	*parts
	version string
	load    func() (*config.Config, error)
	logs    logs
	sockets []*listener.Socket // of the listeners, in their order
	doors   []door             // likewise
	admin   []*listener.Socket // the admin socket, or none

	adminDoor door
	stop      func()
	over      func() // ends what lasts in the routers of the last reload
}

func (p *parts) newReloads(o Options, sockets, admin []*listener.Socket, stop func()) *reloads {
	r := &reloads{parts: p, version: o.Version, load: o.Load, logs: o.Logs, sockets: sockets, admin: admin, doors: make([]door, len(sockets)), stop: stop}
	r.route(p.cfg, p.rights)
	return r
}

// route gives every listener the router that cfg describes. Requests under way end in the one that they began in, but for streams of events, which are cut
// off: nobody is to look on who may look no longer.
func (r *reloads) route(cfg *config.Config, rights []router.Rights) {
	var open []openListener
	last := r.over
	over, end := context.WithCancel(context.Background()) // of no other: a stop ends streams by itself
	r.over = end
	hang := func(d *door, l config.Listener, rights router.Rights, at net.Addr) {
		routes, options := r.routes(cfg, l, rights, r.stop)
		routes.Over = over
		h := http.Handler(router.New(routes, options))
		d.routes.Store(&h)
		open = append(open, openListener{url: urlOf(l, at), listener: l, rights: !rights.IsZero(), judge: router.NewJudge(routes, options)})
	}
	for i := range r.doors {
		hang(&r.doors[i], cfg.Listeners[i], rights[i], r.sockets[i].Addr())
	}
	for _, ln := range r.admin {
		hang(&r.adminDoor, adminListener(ln.Addr().String()), router.Rights{}, ln.Addr())
	}
	r.open.Store(&open)
	if last != nil {
		last()
	}
}

// run reloads whenever asked, until ctx ends.
func (r *reloads) run(ctx context.Context, asked <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
		}
		if ctx.Err() == nil {
			r.once()
		}
	}
}

// once is one reload. It always ends with one line that says how it went.
func (r *reloads) once() {
	began := time.Now()
	if r.load == nil {
		r.log.Warn("nothing to reload: there is no configuration file; start with -config=FILE to have one")
		return
	}
	r.notify.Reloading()
	defer r.notify.Ready() // however it ends: the daemon serves
	r.reopenLog()
	next, err := r.load()
	if err != nil {
		r.refuse(err, began)
		return
	}
	for _, w := range next.Warnings {
		r.log.Warn("configuration", slog.String("problem", w.String()))
	}
	now := r.now.Load()
	merged := config.Merge(now, next, isLive)
	apply, read, err := r.prepare(merged)
	if err != nil {
		r.refuse(err, began)
		return
	}
	for _, commit := range apply {
		commit()
	}
	changed, waiting := r.tell(config.Diff(now, next))
	r.meters.Reloaded(true, time.Now())
	r.note(nil, config.Diff(now, next))
	log := r.log.With(slog.Int("changed", changed), slog.Int("files_read", read), slog.Int("need_restart", waiting), slog.Duration("took", time.Since(began)))
	if changed+read == 0 {
		log.Info("reloaded: nothing has changed")
		return
	}
	log.Info("reloaded")
}

// reopenLog comes first and counts whatever the files say: a logrotate has moved the log, and must not lose what comes now.
func (r *reloads) reopenLog() {
	if err := r.access.Reopen(); err != nil {
		r.log.Warn("the access log was not opened anew", slog.Any("error", err))
	}
	if r.logs == nil {
		return
	}
	if err := r.logs.Reopen(); err != nil {
		r.log.Warn("the log file was not opened anew", slog.Any("error", err))
	}
}

// refuse tells of every problem, and that nothing has changed.
func (r *reloads) refuse(err error, began time.Time) {
	var problems *config.Problems
	if errors.As(err, &problems) {
		for _, w := range problems.Warnings {
			r.log.Warn("configuration", slog.String("problem", w.String()))
		}
		for _, p := range problems.Errors {
			r.log.Error("configuration", slog.String("problem", p.String()))
		}
	} else {
		r.log.Error("configuration", slog.String("problem", err.Error()))
	}
	r.meters.Reloaded(false, time.Time{})
	r.note(err, nil)
	r.log.Error("not reloaded: nothing has changed; mend what is named above and send SIGHUP again", slog.Duration("took", time.Since(began)))
}

// tell lists what is different, and counts what is in force now and what waits for a restart. The latter is said at each reload until it comes.
func (r *reloads) tell(all []config.Change) (changed, waiting int) {
	for _, c := range all {
		attrs := []any{slog.String("setting", c.Path)}
		if c.Old != "" || c.New != "" { // else it may hold a secret
			attrs = append(attrs, slog.String("old", c.Old), slog.String("new", c.New))
		}
		if isLive(c.Key) {
			changed++
			r.log.Info("changed", attrs...)
		} else {
			waiting++
			r.log.Warn("needs a restart", attrs...)
		}
	}
	return changed, waiting
}

// prepare does all that can fail, and returns the steps that put cfg to use, and how many sets of TLS files have changed.
func (r *reloads) prepare(cfg *config.Config) (apply []func(), read int, err error) {
	commit, fresh, err := r.upstream.Prepare(r.upstreamSettings(cfg, r.version))
	if err != nil {
		return nil, 0, fmt.Errorf("%svault: %w", place(cfg.Vault.Pos), err)
	}
	apply, read = append(apply, commit), read+number(fresh)
	for i, l := range cfg.Listeners {
		commit, fresh, err := r.sockets[i].Prepare(settings(l))
		if err != nil {
			return nil, 0, fmt.Errorf("%s%w", place(l.Pos), err)
		}
		apply, read = append(apply, commit), read+number(fresh)
	}
	rights, err := rightsOf(cfg.Listeners)
	if err != nil {
		return nil, 0, err
	}
	access, err := r.access.prepare(r.now.Load().AccessLog, cfg) // the last that may fail: what it has opened is put to use
	if err != nil {
		return nil, 0, fmt.Errorf("%s%w", place(cfg.AccessLog.Pos), err)
	}
	return append(apply, access, func() { r.use(cfg, rights) }), read, nil
}

// use puts to use what cannot fail.
func (r *reloads) use(cfg *config.Config, rights []router.Rights) {
	r.tuning.Lock()
	r.now.Store(cfg)
	if r.renews != nil && cfg.Cache != nil {
		r.renews.SetRenewRate(cfg.Cache.RenewRate)
	}
	if r.cache != nil {
		r.cache.Tune(cacheOptions(cfg))
	}
	r.tuning.Unlock()
	r.index.Tune(indexOptions(cfg))
	r.route(cfg, rights)
	if r.logs != nil {
		r.logs.SetLevel(cfg.LogLevel)
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
