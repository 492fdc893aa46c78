package upstream

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

const (
	// idleConns is the number of idle connections kept to Vault: a proxy talks to one host, and all its clients share them.
	idleConns = 256
	// A silent HTTP/2 connection is pinged after this time, and given up when no pong comes: without it, requests pile up on a
	// connection whose far end is gone until TCP notices, a quarter of an hour later.
	pingAfter, pongWithin = 15 * time.Second, 10 * time.Second
)

// Settings says where Vault is and how to talk to it. Vault's own environment variables (VAULT_ADDR, VAULT_CACERT, ...) are read by New
// and win over these fields; set but empty, they count as unset. VAULT_AGENT_ADDR is not read: a proxy must not point at itself.
type Settings struct {
	Address               string        // http, https or unix URL, with or without a base path; "" is https://127.0.0.1:8200
	Addresses             []string      // wins over Address: several, the preferred one first. VAULT_ADDR replaces them all
	HealthInterval        time.Duration // between looks at each of several addresses; 0 is 5 s
	CACert, CAPath        string        // PEM file, and directory of PEM files; the file wins
	ClientCert, ClientKey string        // PEM files, both or neither
	TLSServerName         string
	TLSSkipVerify         bool
	NumRetries            int         // tries after the first one; 0 is none. VAULT_MAX_RETRIES wins
	IgnoreEnv             []string    // environment variables that do not count, because a command-line flag has decided
	Proxying, AutoAuth    Connections // of Forward and Renew, and of what API returns
	Product               string      // "Leasehold/1.2.3", for User-Agent
	Log                   *slog.Logger
	Tracer                trace.Tracer      // makes a span for each time that a request of a trace is sent; nil makes none, and leaves traceparent to the client
	Meter                 Meter             // nil for nobody
	LoginHeaders          http.Header       // what requests of API's clients carry, beside VAULT_HEADERS
	Reached               func()            // called when Vault can be reached again, after none of its addresses could; it returns at once. nil for nobody
	Transport             http.RoundTripper // nil: the pool that the other settings describe. Tests put an in-memory one here

	// How Forward deals with Vault.
	Retry         Retry
	PassRedirects bool     // redirects of Vault go to the client; so they do with VAULT_DISABLE_REDIRECTS=true
	RedirectHosts []string // where redirects are followed to beside the hosts and domains of Vault's addresses: host, host:port or *.domain
	Consistency   Consistency
	ForwardedFor  ForwardedFor
}

// Connections says how connections are kept, in the words of disable_idle_connections and disable_keep_alives.
type Connections struct {
	DisableIdle       bool // keep no idle pool
	DisableKeepAlives bool // close after each request
}

// env returns the variable when it is set and counts, else or.
func (s *Settings) env(name, or string) string {
	if slices.Contains(s.IgnoreEnv, name) {
		return or
	}
	return cmp.Or(os.Getenv(name), or)
}

// vaultConfig is the settings and the environment as vault/api understands them, with a transport of its own, and the parsed address.
func (s *Settings) vaultConfig(conns Connections, address string) (*api.Config, *url.URL, error) {
	if err := checkProxyURL(); err != nil {
		return nil, nil, err
	}
	retries, err := s.retries()
	if err != nil {
		return nil, nil, err
	}
	cfg := api.DefaultConfig() // reads the environment
	if cfg.Error != nil {
		return nil, nil, fmt.Errorf("environment: %w; give the variable a value that Vault's own clients take, or unset it", cfg.Error)
	}
	cfg.MaxRetries = retries
	cfg.AgentAddress = ""
	if cfg.Timeout < 0 {
		return nil, nil, fmt.Errorf("environment: %s is negative; set a duration, for example 60s", api.EnvVaultClientTimeout)
	}
	if cfg.Limiter, err = limiter(cfg.Limiter); err != nil {
		return nil, nil, err
	}
	transport, err := s.configureTLS(cfg)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := parseAddress(cfg, address)
	if err != nil {
		return nil, nil, err
	}
	transport.MaxIdleConns = idleConns
	transport.MaxIdleConnsPerHost = idleConns
	if conns.DisableIdle {
		transport.MaxIdleConnsPerHost = -1
	}
	// An HTTP/2 connection stays in its own pool whatever the size of the idle one; only keep-alives end it.
	transport.DisableKeepAlives = conns.DisableKeepAlives || conns.DisableIdle
	transport.DisableCompression = true // what the client asked for is what it gets
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pongWithin}
	if s.Transport != nil {
		cfg.HttpClient.Transport = s.Transport
	}
	return cfg, parsed, nil
}

// addresses are where Vault is, the preferred one first.
func (s *Settings) addresses() []string {
	if address := s.env(api.EnvVaultAddress, ""); address != "" {
		return []string{address}
	}
	if len(s.Addresses) > 0 {
		return s.Addresses
	}
	return []string{cmp.Or(s.Address, api.DefaultAddress)}
}

// configureTLS applies environment over settings, one by one.
func (s *Settings) configureTLS(cfg *api.Config) (*http.Transport, error) {
	skip, err := strconv.ParseBool(s.env(api.EnvVaultSkipVerify, strconv.FormatBool(s.TLSSkipVerify)))
	if err != nil {
		return nil, fmt.Errorf("environment: could not parse %s; set true or false", api.EnvVaultSkipVerify)
	}
	err = cfg.ConfigureTLS(&api.TLSConfig{
		CACert:        s.env(api.EnvVaultCACert, s.CACert),
		CACertBytes:   []byte(os.Getenv(api.EnvVaultCACertBytes)),
		CAPath:        s.env(api.EnvVaultCAPath, s.CAPath),
		ClientCert:    s.env(api.EnvVaultClientCert, s.ClientCert),
		ClientKey:     s.env(api.EnvVaultClientKey, s.ClientKey),
		TLSServerName: s.env(api.EnvVaultTLSServerName, s.TLSServerName),
	})
	if err != nil {
		return nil, fmt.Errorf("TLS settings for Vault: %w; certificates and keys are PEM files that Leasehold must be able to read, named by the vault stanza or the environment", err)
	}
	transport, ok := cfg.HttpClient.Transport.(*http.Transport)
	if !ok {
		return nil, fmt.Errorf("TLS settings for Vault: unexpected transport %T", cfg.HttpClient.Transport)
	}
	transport.TLSClientConfig.InsecureSkipVerify = skip // vault/api can only turn it on
	return transport, nil
}

func parseAddress(cfg *api.Config, text string) (*url.URL, error) {
	u, err := cfg.ParseAddress(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || text == "unix://" {
		if strings.Contains(text, "@") {
			text = "with a user name" // what follows it may be a password
		} else {
			text = strconv.Quote(text)
		}
		return nil, fmt.Errorf("Vault's address %s cannot be used; write it like https://vault.example:8200 or unix:///run/vault.sock", text)
	}
	return u, nil
}

// retries is the budget: VAULT_MAX_RETRIES, else NumRetries.
func (s *Settings) retries() (int, error) {
	v := os.Getenv(api.EnvVaultMaxRetries)
	if v == "" {
		return max(s.NumRetries, 0), nil
	}
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("environment: %s is %q; set a whole number, for example 12", api.EnvVaultMaxRetries, v)
	}
	return int(n), nil
}

// checkProxyURL looks first at what vault/api would quote in its error: the URL of a forward proxy often carries a password.
func checkProxyURL() error {
	for _, name := range []string{api.EnvHTTPProxy, api.EnvVaultProxyAddr} {
		if _, err := url.Parse(os.Getenv(name)); err != nil {
			return fmt.Errorf("environment: %s is not a URL; write it like http://proxy.example:3128", name)
		}
	}
	return nil
}

// limiter is the rate limit of VAULT_RATE_LIMIT, nil for none. It refuses limits that let no request through, and makes sense of a rate below
// one per second without a burst, which vault/api reads as a burst of zero.
func limiter(l *rate.Limiter) (*rate.Limiter, error) {
	if l == nil {
		return nil, nil
	}
	if !(l.Limit() > 0) || l.Burst() < 0 {
		return nil, errors.New("environment: " + api.EnvRateLimit + " must be above zero, for example 100:200")
	}
	return rate.NewLimiter(l.Limit(), max(l.Burst(), 1)), nil
}
