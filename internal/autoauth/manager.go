package autoauth

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"

	"leasehold/internal/vault"
)

// ErrGaveUp is what Run returns, with the last login's error, when Options.MaxAttempts or TotalTimeout is used up.
var ErrGaveUp = errors.New("gave up to log in")

// Method is one way to log in. The manager calls it from one goroutine.
type Method interface {
	// Login asks Vault for a token, once: the manager does the retrying. The client carries no token and the manager's
	// namespace; it is made for this call, so headers and token set on it go no further.
	Login(ctx context.Context, c *api.Client) (*api.Secret, error)
	// Remedy completes the sentence "Vault refused the login ...;" for an answer with this HTTP status: what a person can do.
	Remedy(status int) string
}

// Watcher is a Method that can tell when there are new credentials.
type Watcher interface {
	// Watch calls changed when there are other credentials than those that the last Login has used, until ctx ends. It runs once, beside Login, and
	// begins when the first Login has returned. What is missing, empty or half written is no change. changed does not block.
	Watch(ctx context.Context, changed func())
}

// Sink is a place outside the process that gets every new token.
type Sink interface {
	Name() string // for the log
	Write(ctx context.Context, t vault.Token) error
}

// Observer hears which tokens are held. It is called from the manager's goroutine and must return quickly.
type Observer interface {
	// TokenHeld is called before requests can see a new token, and again for each renewal of it. The token of the last run is in use from the
	// start, since whoever restored it knows it already; it is announced when Vault has confirmed it.
	TokenHeld(Held)
	// TokenLost is called when a token ended without a successor: it expired, or Vault no longer accepts it.
	TokenLost(vault.Token)
	// TokenWrapped is called each time that a login's token was handed out wrapped (Options.WrapTTL).
	TokenWrapped()
}

// Meter counts logins and renewals that succeeded, each attempt at one that failed, and tokens that expired. That the token of the last run is good
// counts as a login.
type Meter interface {
	AuthSuccess()
	AuthFailure()
}

// Held is a token the manager holds.
type Held struct {
	Token    vault.Token
	Accessor vault.Accessor
	Policies []string
	Grant    vault.Grant // as of the last login or renewal
	Expires  time.Time   // zero: never. Counted from before the request, so Vault does not forget the token earlier.

	// Previous is the token this one replaces; zero at the first login, and when a login or renewal brought the same token.
	Previous      vault.Token
	PreviousAlive bool      // Previous has, as far as is known, not ended
	PreviousEnds  time.Time // when it does, if PreviousAlive; zero: never, or not known
}

// Options tune a Manager.
type Options struct {
	Namespace  vault.Namespace // of the logins, and so of the token; default: the root
	MinBackoff time.Duration   // first pause after a failure, and least time between two logins; default 1 s
	MaxBackoff time.Duration   // longest pause; default 5 min, never less than MinBackoff

	// Resume is the token of the last run: it is in use at once, and looked up as soon as Vault answers; only when Vault does not accept it any
	// more is a login made (hashicorp/vault#28305, #16148).
	Resume Resumed

	// MinTokenTTL is the least life that Lasting's tokens have. A token that cannot be renewed is replaced when it has no more. 0 means no such bound.
	MinTokenTTL time.Duration

	// ReauthOnNewCredentials has a method that is a Watcher tell of new credentials, which are then used at once.
	ReauthOnNewCredentials bool

	// WrapTTL has Vault wrap the answer to a login for so long. Sinks then get the wrapping token, as JSON, and nobody has a token: nothing is renewed,
	// and the next login comes with new credentials. 0 means no wrapping.
	WrapTTL   time.Duration
	MountPath string // where the method is mounted; with WrapTTL what is wrapped must have been made by a login there

	ExitOnErr    bool          // Run returns the error of the first login that fails, be it the first login or a later one
	MaxAttempts  int           // Run returns ErrGaveUp after so many failed logins in a row while no token is held; 0 means no bound
	TotalTimeout time.Duration // and after so long without one; 0 means no bound

	Sinks     []Sink
	Observers []Observer
	Meter     Meter // nil: nothing is counted

	Name   vault.AutoAuthName // of the login, for its spans
	Tracer trace.Tracer       // makes a span of each login, renewal, lookup and write of a sink; nil makes none

	Now func() time.Time // the wall clock, by which Vault ends tokens; nil means time.Now
}

// Manager holds one token and keeps it good. Its methods may be called from any goroutine.
type Manager struct {
	client  *api.Client
	method  Method
	log     *slog.Logger
	opts    Options
	writers []*writer

	slot    *slot
	ready   chan struct{}    // closed at the first token that Vault has granted or confirmed
	revoked chan struct{}    // capacity 1: tells Run that Invalidate emptied the slot
	hurry   chan struct{}    // capacity 1: tells Run that Lasting finds the token too short
	back    chan struct{}    // capacity 1: tells Run that Vault answers again
	renewed chan struct{}    // capacity 1: tells Run that there are new credentials
	tried   chan struct{}    // closed when the first login has returned
	fresh   chan vault.Token // capacity 1: the newest token that inspect has not looked up
	forced  forced
	status  atomic.Pointer[Status]

	// The rest belongs to the goroutine of Run.
	held      Held        // zero Token: none; until confirmed, the last run's as far as it is known
	lost      vault.Token // what was held before, when nothing is
	since     time.Time   // of held being what it is, but for renewals, or of the last token that was handed out wrapped
	wrapped   bool        // what the last login brought was handed out wrapped
	asked     bool        // the login at hand is one that somebody wanted
	plan      plan
	least     time.Duration // what the held token must have left for Lasting
	notBefore time.Time     // of the next login
	retryAt   time.Time     // of the next login, after one that failed; zero: none has
	renewFrom time.Time     // of the next renewal, after one that failed
	confirmAt time.Time     // of the next lookup of the last run's token; zero while one is under way
	failures  failures
	logins    backoff
	renewals  backoff
	confirms  backoff
}

// NewManager makes a manager that logs in with method. The client becomes the manager's own: its retries are switched off,
// for the manager's backoff is the only one. Its token, if any, is never sent.
func NewManager(client *api.Client, method Method, log *slog.Logger, o Options) *Manager {
	if o.MinBackoff <= 0 {
		o.MinBackoff = time.Second
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = 5 * time.Minute
	}
	o.MaxBackoff = max(o.MaxBackoff, o.MinBackoff)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tracer == nil {
		o.Tracer = noop.Tracer{}
	}
	client.SetMaxRetries(0)
	m := &Manager{
		client:   client,
		method:   method,
		log:      log,
		opts:     o,
		slot:     newSlot(),
		ready:    make(chan struct{}),
		revoked:  make(chan struct{}, 1),
		hurry:    make(chan struct{}, 1),
		back:     make(chan struct{}, 1),
		renewed:  make(chan struct{}, 1),
		tried:    make(chan struct{}),
		fresh:    make(chan vault.Token, 1),
		forced:   forced{notice: make(chan struct{}, 1)},
		logins:   backoff{min: o.MinBackoff, max: o.MaxBackoff},
		renewals: backoff{min: o.MinBackoff, max: o.MaxBackoff},
		confirms: backoff{min: o.MinBackoff, max: max(o.MinBackoff, min(o.MaxBackoff, maxConfirmPause))},
	}
	m.since = o.Now()
	m.tell(Unauthenticated)
	m.Resume(o.Resume)
	for _, s := range o.Sinks {
		m.writers = append(m.writers, newWriter(s, log, o.Tracer))
	}
	return m
}

// Run logs in, unless the token of the last run is still good, and keeps the token until ctx ends, which is a success. It returns
// the failed login's error for Options.ExitOnErr, MaxAttempts and TotalTimeout, a vault.ErrRefused when Vault said no. Call it once.
func (m *Manager) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.live(ctx) })
	g.Go(func() error { return m.inspect(ctx) })
	for _, w := range m.writers {
		g.Go(func() error { return w.run(ctx) })
	}
	if w, ok := m.method.(Watcher); ok && m.opts.ReauthOnNewCredentials {
		g.Go(func() error {
			select {
			case <-m.tried:
				w.Watch(ctx, func() { notify(m.renewed) })
			case <-ctx.Done():
			}
			return nil
		})
	}
	return g.Wait()
}

// Token returns the current token, or the zero Token when none is held. It takes no lock and allocates nothing.
func (m *Manager) Token() vault.Token { return m.slot.get() }

// Await returns the current token, waiting for one until ctx ends.
func (m *Manager) Await(ctx context.Context) (vault.Token, error) {
	return m.slot.await(ctx, func(*occupant) bool { return true })
}

// Ready is closed when the first login was made, or the token of the last run confirmed.
func (m *Manager) Ready() <-chan struct{} { return m.ready }

// Invalidate says that Vault no longer accepts t. If t is the current token it is dropped here and now, and the manager logs in
// again; otherwise nothing happens. It does not block, and any number of callers cause one login.
func (m *Manager) Invalidate(t vault.Token) {
	if m.slot.drop(t) {
		notify(m.revoked)
	}
}

// VaultAnswers says that Vault can be reached again. What has failed is tried now, and not at the end of its pause. It does not block.
func (m *Manager) VaultAnswers() { notify(m.back) }

// notify leaves a notice in a channel of capacity 1. When one is there already, its reader will see all there is to see.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// AwaitStored returns true once every sink has stored a token: when ready, if there are no sinks. It returns false when ctx ends before.
func (m *Manager) AwaitStored(ctx context.Context) bool {
	steps := []<-chan struct{}{m.ready}
	for _, w := range m.writers {
		steps = append(steps, w.stored)
	}
	for _, step := range steps {
		select {
		case <-step:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
