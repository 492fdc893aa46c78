package realvault

import (
	"fmt"
	"os"
	"time"

	"github.com/armon/go-metrics"
	"github.com/hashicorp/go-hclog"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/audit"
	"github.com/hashicorp/vault/builtin/logical/database"
	"github.com/hashicorp/vault/builtin/logical/pki"
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/helper/metricsutil"
	"github.com/hashicorp/vault/plugins/database/postgresql"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

// newCore makes a sealed, empty core that knows the plugins of Start.
func newCore(l *leaser) (*vault.Core, error) {
	// Vault's errors are worth seeing beside a failing test; its warnings are about being a test server.
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return nil, err
	}
	return vault.NewCore(&vault.CoreConfig{
		Physical: storage, Logger: logger, DisableMlock: true, BuiltinRegistry: builtins{},
		MetricsHelper:   metricsutil.NewMetricsHelper(metrics.NewInmemSink(time.Minute, time.Minute), false), // without it sys/metrics panics
		DefaultLeaseTTL: time.Hour, MaxLeaseTTL: 24 * time.Hour,
		LogicalBackends: map[string]logical.Factory{
			"kv": kv.Factory, "database": database.Factory, "pki": pki.Factory, "transit": transit.Factory, "leaser": l.factory,
		},
		CredentialBackends: authMethods,
		AuditBackends:      map[string]audit.Factory{"file": audit.NewFileBackend},
	})
}

// mount sets up what Start promises.
func mount(c *api.Client, auditFile string) error {
	if auditFile != "" {
		raw := map[string]string{"file_path": auditFile, "log_raw": "true"}
		if err := c.Sys().EnableAuditWithOptions("file", &api.EnableAuditOptions{Type: "file", Options: raw}); err != nil {
			return fmt.Errorf("enable the audit device: %w", err)
		}
	}
	for path, engine := range map[string]*api.MountInput{
		"kv":       {Type: "kv", Options: map[string]string{"version": "1"}},
		"secret":   {Type: "kv", Options: map[string]string{"version": "2"}},
		"database": {Type: "database"},
		"transit":  {Type: "transit"},
		"pki":      {Type: "pki"},
		"leaser":   {Type: "leaser"},
	} {
		if err := c.Sys().Mount(path, engine); err != nil {
			return fmt.Errorf("mount %s: %w", path, err)
		}
	}
	for _, method := range []string{"approle", "userpass"} {
		if err := c.Sys().EnableAuthWithOptions(method, &api.EnableAuthOptions{Type: method}); err != nil {
			return fmt.Errorf("enable auth/%s: %w", method, err)
		}
	}
	// A fresh KV version 2 mount answers 400 until its own setup in the background is done.
	return poll(10*time.Second, func() error {
		_, err := c.Logical().Read("secret/config")
		return err
	})
}

// builtins tells the database engine where its PostgreSQL plugin is, without linking every plugin that Vault ships.
type builtins struct{}

const postgresPlugin = "postgresql-database-plugin"

func (builtins) Contains(name string, t consts.PluginType) bool {
	return t == consts.PluginTypeDatabase && name == postgresPlugin
}

func (b builtins) Get(name string, t consts.PluginType) (func() (any, error), bool) {
	return postgresql.New, b.Contains(name, t)
}

func (builtins) Keys(t consts.PluginType) []string {
	if t != consts.PluginTypeDatabase {
		return nil
	}
	return []string{postgresPlugin}
}

func (builtins) DeprecationStatus(string, consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, true
}

func (builtins) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
