package realvault

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/vault"
)

// Options tune a Server. The zero value is a plain Vault without an audit log.
type Options struct {
	// AuditFile is where Vault writes its audit log, which holds every secret in the clear; "" means no audit log.
	AuditFile string
	// Wrap puts a handler of the test between the socket and the real core, to delay, break or replace answers; nil means nothing.
	Wrap func(http.Handler) http.Handler
	// Witness is told the secrets that Vault reads and writes; nil means nobody.
	Witness *Witness
}

// Server is a running Vault. Its methods are safe for concurrent use.
type Server struct {
	Address   string // as in VAULT_ADDR; the same after Interrupt and Resume
	RootToken string
	UnsealKey string // hex, the only one
	AuditFile string // as in Options

	core    *vault.Core
	root    *api.Client
	leaser  *leaser
	handler http.Handler

	mu     sync.Mutex
	socket *http.Server  // nil while interrupted
	served chan struct{} // closed when socket no longer accepts
}

// Start returns a Vault that answers, with these mounts:
//
//	auth/approle  auth/userpass
//	kv (version 1)  secret (kv version 2)  database  transit  pki
//	leaser: every read of leaser/creds/<name>?ttl=&max_ttl=&renewable= is a lease with that TTL, max TTL (seconds) and renewability
//
// It takes well under a second. The caller closes it.
func Start(o Options) (*Server, error) {
	s := &Server{AuditFile: o.AuditFile, leaser: newLeaser()}
	core, err := newCore(s.leaser)
	if err != nil {
		return nil, fmt.Errorf("new Vault core: %w", err)
	}
	s.core = core
	if err := s.begin(o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// begin takes the core from empty to serving with everything mounted.
func (s *Server) begin(o Options) error {
	one := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
	keys, err := s.core.Initialize(context.Background(), &vault.InitParams{BarrierConfig: one, RecoveryConfig: one})
	if err != nil {
		return fmt.Errorf("initialize Vault: %w", err)
	}
	s.RootToken, s.UnsealKey = keys.RootToken, hex.EncodeToString(keys.SecretShares[0])
	if _, err := s.core.Unseal(keys.SecretShares[0]); err != nil {
		return fmt.Errorf("unseal Vault: %w", err)
	}
	s.handler = vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: s.core, ListenerConfig: &configutil.Listener{}})
	if o.Witness != nil {
		s.handler = o.Witness.watch(s.handler)
	}
	if o.Wrap != nil {
		s.handler = o.Wrap(s.handler)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.Address = "http://" + ln.Addr().String()
	s.serve(ln)
	if s.root, err = newRootClient(s.Address, s.RootToken); err != nil {
		return err
	}
	return mount(s.root, o.AuditFile)
}

// Client is Vault's own API client with the root token. All callers share it: Clone it to use another token or namespace.
func (s *Server) Client() *api.Client { return s.root }

// newRootClient does not heed the VAULT_* variables of whoever runs the tests.
func newRootClient(address, token string) (*api.Client, error) {
	c, err := api.NewClient(&api.Config{Address: address})
	if err != nil {
		return nil, fmt.Errorf("client of Vault: %w", err)
	}
	c.ClearNamespace()
	c.SetToken(token)
	return c, nil
}

// Close ends the listener and the core and forgets everything in it, except the audit file. Closing twice is harmless.
func (s *Server) Close() error {
	return errors.Join(s.Interrupt(), s.core.Shutdown())
}

// Seal seals Vault: until Unseal, it answers 503 to nearly everything.
func (s *Server) Seal() error {
	if err := s.root.Sys().Seal(); err != nil {
		return fmt.Errorf("seal Vault: %w", err)
	}
	return nil
}

// Unseal undoes Seal and returns when Vault is active again.
func (s *Server) Unseal() error {
	status, err := s.root.Sys().Unseal(s.UnsealKey)
	if err != nil {
		return fmt.Errorf("unseal Vault: %w", err)
	}
	if status.Sealed {
		return errors.New("unseal Vault: it took the key and is still sealed")
	}
	return poll(10*time.Second, func() error {
		_, err := s.root.Auth().Token().LookupSelf()
		return err
	})
}

// Interrupt is an outage: it closes the listener and every connection, also those of requests in flight. The core stays as it is.
// Interrupting twice is harmless.
func (s *Server) Interrupt() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.socket == nil {
		return nil
	}
	err := s.socket.Close()
	<-s.served
	s.socket = nil
	return err
}

// Resume ends an outage: the same core answers on the same port again. Resuming twice is harmless.
func (s *Server) Resume() error {
	s.mu.Lock()
	running := s.socket != nil
	s.mu.Unlock()
	if running {
		return nil
	}
	ln, err := net.Listen("tcp", s.Address[len("http://"):])
	if err != nil {
		return fmt.Errorf("resume Vault: %w", err)
	}
	s.serve(ln)
	return nil
}

// serve answers on ln until Interrupt.
func (s *Server) serve(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	socket, served := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}, make(chan struct{})
	s.socket, s.served = socket, served
	go func() {
		defer close(served)
		_ = socket.Serve(ln) // it ends by Interrupt alone, which reports what there is to report
	}()
}

// Issued counts the leases that leaser/creds/<name> has given since Start.
func (s *Server) Issued(name string) int { return s.leaser.count(name) }

// poll tries until it succeeds, and returns the last error when that takes longer than within.
func poll(within time.Duration, try func() error) error {
	deadline := time.After(within)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-deadline:
			return fmt.Errorf("after %v still: %w", within, err)
		case <-again.C:
		}
	}
}
