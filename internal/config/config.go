package config

import (
	"log/slog"
	"net/http"
	"os"
	"time"

	"leasehold/internal/vault"
)

// LevelTrace is log_level "trace", one step below slog's debug.
const LevelTrace = slog.LevelDebug - 4

// Defaults that are numbers or paths of Vault's; the others stand in the tables.
const (
	defaultListenAddress  = "127.0.0.1:8200"
	defaultMaxRequestSize = 32 << 20 // bytes, as Vault's server has it
	defaultMaxEntrySize   = 1 << 20  // bytes
	defaultRetries        = 12
	defaultMaxReplaySize  = 32 << 20  // bytes
	defaultMaxConcurrent  = 4096      // requests of one listener
	defaultMaxHeaderSize  = 1 << 20   // bytes, as Vault's server has it
	defaultRenewAt        = 0.67      // of a life
	defaultRenewRate      = 500.0     // renewals a second
	defaultReplaceBefore  = 0.1       // of a life
	defaultMaxSize        = 512 << 20 // bytes
	defaultTokenJWT       = "/var/run/secrets/kubernetes.io/serviceaccount/token"
)

// Options are what the command line and the environment add to the file.
type Options struct {
	Paths         []string                    // of -config, in order: files and directories; blanks around them do not count
	LookupEnv     func(string) (string, bool) // nil means os.LookupEnv; a variable that is set but empty counts as unset
	LogLevel      string                      // -log-level; "" means not given
	LogFormat     string                      // -log-format; "" means not given
	ExitAfterAuth *bool                       // -exit-after-auth; nil means not given
	LogFile       LogFileFlags

	Vault VaultFlags
	Idle  []string // flags that were given and mean nothing here

	Strict            bool // -strict: an unknown key is an error
	Sources           bool // Config.Settings is wanted
	IgnoreUnsupported bool // -ignore-unsupported: template, env_template and exec are ignored with a warning, not refused
}

// Config is a configuration without problems: every default is filled in and every rule of Vault about it holds.
type Config struct {
	Vault           Vault
	AutoAuths       []AutoAuth // in file order: one at most without a name, and no two with the same
	APIProxy        APIProxy
	Cache           *Cache // nil without a cache stanza: nothing is cached
	Listeners       []Listener
	AdminSocket     string     // a path, or "off"; "" leaves it to the daemon
	PIDFile         string     // "" means none
	LogLevel        slog.Level // flag before VAULT_LOG_LEVEL before file; info by default
	LogFormat       string     // "standard", "json" or "logfmt"; precedence as LogLevel
	LogFile         *LogFile   // nil means standard error alone
	AccessLog       *AccessLog // nil without an access_log stanza: there is none
	Connections     Connections
	Telemetry       Telemetry
	ExitAfterAuth   bool
	Files           []string      // that were read, in order; none without -config
	Settings        []Setting     // with Options.Sources: every value and where it came from, stanza by stanza, what is given before the defaults
	ShutdownTimeout time.Duration // how long requests in flight may take once asked to stop; 10s by default
	Warnings        []Problem     // in file order: keys that are unknown, have no effect or are deprecated
}

// Vault is the vault stanza after the flags and the environment, which win over it.
type Vault struct {
	Pos           Pos      // zero without a vault stanza
	Address       string   // IP literals normalised; "" means not given
	Addresses     []string // addresses: in order of preference, normalised; empty when Address, or nothing, was given
	CACert        string
	CAPath        string
	ClientCert    string
	ClientKey     string
	TLSServerName string
	TLSSkipVerify bool
	Namespace     string // VAULT_NAMESPACE, else as written: Vault does not canonicalise this one
	Retry         Retry

	HealthInterval time.Duration // health_check_interval: between looks at each of several addresses; 5s by default
	PassRedirects  bool          // pass_redirects: redirects of Vault go to the client
	LoginHeaders   http.Header   // of -header: what logins carry beside their own; nil for nothing
	RedirectHosts  []string      // redirect_hosts: where a redirect may lead beside the hosts and domains of the addresses; host, host:port or *.domain
}

// Retry is the retry block of the vault stanza.
type Retry struct {
	NumRetries    int           // retries after the first try: 12 when absent or 0, none when negative
	SafeOnly      bool          // safe_only: repeat nothing but GET, LIST and HEAD
	MaxWait       time.Duration // max_wait: the sum of the waits of one request; 10s by default
	MaxReplaySize int64         // max_replay_size: bytes of the largest body that is kept to be sent again; 32 MiB by default, -1 keeps none
}

// AutoAuth is an auto_auth stanza.
type AutoAuth struct {
	Pos                    Pos
	Name                   vault.AutoAuthName // "" of the one that listeners use which name none
	Method                 Method
	Sinks                  []Sink
	ReauthOnNewCredentials bool // enable_reauth_on_new_credentials
	RevokeOnExit           bool // revoke_on_exit: the token is revoked at every controlled end
}

// Method says how to log in. Its settings are checked against the table of its type.
type Method struct {
	Pos        Pos
	Type       string // one of Vault's thirteen, never the alias pcf
	MountPath  string // "auth/<type>" by default, without a slash at either end
	Namespace  string // canonical: "" or ending in a slash
	MinBackoff time.Duration
	MaxBackoff time.Duration // never below MinBackoff
	ExitOnErr  bool
	WrapTTL    time.Duration // wrap_ttl: how long Vault keeps the answer to a login, which goes to the one sink wrapped; 0 means no wrapping
	Settings   Settings      // the config block

	MaxAttempts  int           // max_attempts: failed logins in a row after which the daemon ends; 0, the default, means no bound
	TotalTimeout time.Duration // total_timeout: how long logins may fail; 0, the default, means no bound
}

// Sink is a file that receives the auto-auth token: bare, wrapped, encrypted, or wrapped and then encrypted.
type Sink struct {
	Pos   Pos
	Type  string // "file"
	Path  string
	Mode  os.FileMode // permission bits; 0640 by default
	Owner string      // a name or a numeric id; "" means the process's own
	Group string      // as Owner

	KeepExisting bool          // keep_existing: a file that is there keeps its mode, owner and group
	WrapTTL      time.Duration // wrap_ttl: how long Vault keeps the wrapped token; 0 means it is not wrapped
	DHPath       string        // dh_path: the file of the client's public key, curve25519; "" means not encrypted, and the next two are empty
	DeriveKey    bool          // derive_key
	AAD          string        // aad, or what the variable of aad_env_var holds
}

// TokenUse says when a request carries the auto-auth token: api_proxy.use_auto_auth_token.
type TokenUse uint8

// The values of use_auto_auth_token: false, true and "force".
const (
	Never      TokenUse = iota // the client's token or none
	WhenAbsent                 // the auto-auth token for requests that bring no token
	Force                      // the auto-auth token always
)

// String returns the value as it is written in a file.
func (u TokenUse) String() string {
	switch u {
	case WhenAbsent:
		return "true"
	case Force:
		return "force"
	default:
		return "false"
	}
}

// APIProxy is the api_proxy stanza, together with what the Agent's legacy keys in cache say about it.
type APIProxy struct {
	Pos              Pos // zero without an api_proxy stanza
	UseAutoAuthToken TokenUse
	PrependNamespace string // what prepend_configured_namespace puts before the namespace of requests, canonical; "" for nothing
	Consistency      Consistency
	XForwardedFor    ForwardedFor
}

// Consistency is what enforce_consistency and when_inconsistent say together.
type Consistency uint8

// Never is enforce_consistency = "never"; the others are "always" with when_inconsistent "fail", "retry" and "forward".
const (
	ConsistencyNever Consistency = iota
	ConsistencyFail
	ConsistencyRetry
	ConsistencyForward
)

// ForwardedFor is x_forwarded_for: what Vault is told about the address of a client.
type ForwardedFor uint8

// The values "off", "append" and "replace".
const (
	ForwardedForOff     ForwardedFor = iota // what the client says
	ForwardedForAppend                      // what the client says, and its own address behind
	ForwardedForReplace                     // its own address
)

// Cache is the cache stanza; its presence turns caching on.
type Cache struct {
	Pos                Pos
	ReportRemainingTTL bool     // report_remaining_ttl: answer with the seconds a lease has left; true by default
	MaxEntrySize       int64    // max_entry_size: bytes of one kept answer; 1 MiB by default
	Persist            *Persist // nil means memory only

	RenewAt           float64       // renew_at: share of a life after which it is renewed; 0.67 by default
	RenewRate         float64       // renew_rate: renewals a second toward Vault, at most; 500 by default, 0 means no limit
	ReplaceBefore     float64       // replace_before: share of a life before its end at which what cannot be extended is replaced; 0.1 by default
	RefreshAhead      bool          // refresh_ahead: replace it in the background
	CacheNonRenewable bool          // cache_non_renewable: keep leases that cannot be renewed
	MinTokenTTL       time.Duration // min_token_ttl: nothing is created under an auto-auth token with less to live; 0, the default, means no such bound
	RevokeOnExit      bool          // revoke_on_exit
	MaxSize           int64         // max_size: bytes of all that is kept; 512 MiB by default, -1 means no limit
	MaxEntries        int           // max_entries; 0, the default, means no limit
	Rules             []Rule        // in file order: the first that matches holds
}

// Rule is a rule block of a cache. What it leaves open is the cache stanza's.
type Rule struct {
	Pos               Pos
	Path              string // without /v1/: "+" stands for one segment, "*" at the end for anything
	Cache             bool   // false: such requests pass
	CacheNonRenewable bool
	RefreshAhead      bool
	ReplaceBefore     float64
}

// Persist is the persist block of a cache: where the state file is, and what protects its key. What belongs to another type is empty.
type Persist struct {
	Pos             Pos
	Type            string // "kubernetes", "file", "systemd", "env", "transit" or "auto"
	Path            string // a directory; whether it exists is found out when the state file is opened
	KeepAfterImport bool   // keep_after_import, "kubernetes" only: all other types keep the file
	ExitOnErr       bool

	ServiceAccountTokenFile string // "kubernetes": the token that the key is made from
	KeyFile                 string // "file": where the key is; "auto": where it is without a credential. Never empty there
	Credential              string // "systemd" and "auto": the name of the credential that holds the key; leasehold-state-key by default
	KeyEnv                  string // "env": the variable that holds the key; LEASEHOLD_STATE_KEY by default
	TransitMount            string // "transit": where the engine is, without a slash at either end; transit by default
	TransitKey              string // "transit": the name of its key. Never empty there, and there is an auto_auth stanza
}

// Role says what a listener is for.
type Role uint8

// The values "default", "metrics_only" and "admin".
const (
	RoleDefault     Role = iota // Vault's API, and our own endpoints
	RoleMetricsOnly             // the metrics, readyz and livez
	RoleAdmin                   // our own endpoints, all of them
)

// String returns the value as it is written in a file.
func (r Role) String() string { return [...]string{"default", "metrics_only", "admin"}[r] }

// Listener is one listener stanza.
type Listener struct {
	Pos                  Pos
	Type                 string      // "tcp" or "unix"
	Address              string      // tcp: host:port, IP literals normalised, templates evaluated; 127.0.0.1:8200 by default. unix: a path, or @name
	SocketMode           os.FileMode // unix: permission bits; 0 leaves them to the umask
	SocketUser           string      // unix: a name or a numeric id; "" means the process's own
	SocketGroup          string      // as SocketUser
	Rights               Rights      // who may do what
	SystemdSocket        string      // systemd_socket: FileDescriptorName of the inherited socket; "" goes by the address
	TLSDisable           bool
	TLSMinVersion        uint16   // of crypto/tls; TLS 1.2 by default
	TLSMaxVersion        uint16   // at least TLSMinVersion; TLS 1.3 by default
	TLSCipherSuites      []uint16 // of crypto/tls, up to TLS 1.2; nil means Go's
	TLSClientCAFile      string   // "" means the system's roots
	RequireClientCert    bool     // tls_require_and_verify_client_cert; never with the next
	DisableClientCerts   bool     // tls_disable_client_certs
	TLSCertFile          string   // both files are given unless TLSDisable
	TLSKeyFile           string
	AutoAuth             vault.AutoAuthName // of the stanza whose token is lent; there is one, unless it is ""
	Role                 Role
	RequireRequestHeader bool
	EnableQuit           bool          // enable_quit of agent_api or proxy_api
	EnableReauth         bool          // enable_reauth of either
	EnableStatus         bool          // enable_status of either
	ReadHeaderTimeout    time.Duration // http_read_header_timeout, 10s by default
	ReadTimeout          time.Duration // http_read_timeout, 30s by default
	WriteTimeout         time.Duration // http_write_timeout; 0, the default, means none
	IdleTimeout          time.Duration // http_idle_timeout, 5m by default
	MaxRequestSize       int64         // bytes; 32 MiB by default, -1 means no limit
	MaxHeaderSize        int64         // max_header_size: bytes of a request's line and headers; 1 MiB by default
	MaxConcurrent        int           // max_concurrent_requests: 4096 by default, -1 means no limit
	MaxDuration          time.Duration // max_request_duration; 0, the default, means no limit
}
