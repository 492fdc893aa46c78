package config

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// VaultFlags are the flags that say where Vault is. What is empty or nil was not given.
type VaultFlags struct {
	Address, CACert, CAPath, ClientCert, ClientKey, TLSServerName string
	Namespace                                                     string // -ns, else -namespace
	TLSSkipVerify                                                 *bool
	DisableRedirects                                              bool
	Headers                                                       []string // name=value, of -header
}

// VaultVariables are the environment variables that Vault's fields hold already.
var VaultVariables = []string{
	"VAULT_ADDR", "VAULT_CACERT", "VAULT_CAPATH", "VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY", "VAULT_TLS_SERVER_NAME", "VAULT_SKIP_VERIFY", "VAULT_NAMESPACE",
}

// override puts flags before variables before the file.
func (d *decoder) override(v *Vault, f VaultFlags) {
	for _, setting := range []struct {
		name           string
		field          *string
		flag, variable string
	}{
		{"ca-cert", &v.CACert, f.CACert, "VAULT_CACERT"},
		{"ca-path", &v.CAPath, f.CAPath, "VAULT_CAPATH"},
		{"client-cert", &v.ClientCert, f.ClientCert, "VAULT_CLIENT_CERT"},
		{"client-key", &v.ClientKey, f.ClientKey, "VAULT_CLIENT_KEY"},
		{"tls-server-name", &v.TLSServerName, f.TLSServerName, "VAULT_TLS_SERVER_NAME"},
		{"namespace", &v.Namespace, f.Namespace, "VAULT_NAMESPACE"},
	} {
		*setting.field = cmp.Or(setting.flag, d.variable(setting.variable), *setting.field)
		d.outside("vault."+strings.ReplaceAll(setting.name, "-", "_"), "-"+setting.name, setting.flag != "", setting.variable, *setting.field)
	}
	v.PassRedirects = v.PassRedirects || f.DisableRedirects
	d.redirectsOutside(f)
	d.overrideAddress(v, f)
	d.overrideVerify(v, f)
	d.loginHeaders(v, f)
	d.checkVariables()
}

// loginHeaders reads -header. Values are not shown: they may be what a gateway before Vault asks for.
func (d *decoder) loginHeaders(v *Vault, f VaultFlags) {
	for _, text := range f.Headers {
		name, value, ok := strings.Cut(text, "=")
		name = http.CanonicalHeaderKey(strings.TrimSpace(name))
		switch {
		case !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value):
			d.fail(Problem{Stanza: "-header", Text: "this is no header", Remedy: "write for example -header=X-Tenant=a"})
		case strings.HasPrefix(name, "X-Vault-"):
			d.fail(Problem{Stanza: "-header", Text: fmt.Sprintf("%s is a header of Vault's own", clip(name)), Remedy: "choose a name that does not begin with X-Vault-"})
		default:
			if v.LoginHeaders == nil {
				v.LoginHeaders = http.Header{}
			}
			v.LoginHeaders.Add(name, value)
			d.header(name, value)
		}
	}
}

// overrideAddress lets one address from outside take the place of all in the file.
func (d *decoder) overrideAddress(v *Vault, f VaultFlags) {
	for _, p := range []place{{name: "-address", text: f.Address}, {name: "VAULT_ADDR", variable: true, text: d.variable("VAULT_ADDR")}} {
		if p.text == "" {
			continue
		}
		v.Address, v.Addresses = normalizeAddress(p.text), nil
		d.addressOutside(p, v.Address)
		if !reachable(v.Address) { // not shown: it may hold a password
			d.fail(Problem{Stanza: p.stanza(), Text: "the address of Vault cannot be used", Remedy: "write it like https://vault.example:8200 or unix:///run/vault.sock"})
		}
		return
	}
}

// overrideVerify takes false as seriously as true: either may undo the file.
func (d *decoder) overrideVerify(v *Vault, f VaultFlags) {
	if text := d.variable("VAULT_SKIP_VERIFY"); text != "" {
		skip, err := strconv.ParseBool(text)
		if err != nil { // CFG-2: Vault crashes
			d.fail(Problem{Stanza: inEnvironment("VAULT_SKIP_VERIFY"), Text: "must be true or false", Remedy: "set true or false, or unset it"})
		}
		v.TLSSkipVerify = skip
	}
	if f.TLSSkipVerify != nil {
		v.TLSSkipVerify = *f.TLSSkipVerify
	}
	d.outside("vault.tls_skip_verify", "-tls-skip-verify", f.TLSSkipVerify != nil, "VAULT_SKIP_VERIFY", v.TLSSkipVerify)
}

// externalNamespace is the namespace that both of the file's yield to; "" for none.
func (d *decoder) externalNamespace() string {
	return cmp.Or(d.flags.Namespace, d.variable("VAULT_NAMESPACE"))
}

// checkCommandLine warns of what is accepted and means nothing.
func (d *decoder) checkCommandLine(o Options, cfg *Config) {
	if len(o.Idle) > 0 {
		d.warn(Problem{Stanza: "command line", Text: strings.Join(o.Idle, ", ") + " have no effect", Remedy: "remove them"})
	}
	agent := d.variable("VAULT_AGENT_ADDR")
	if agent != "" && slices.ContainsFunc(cfg.Listeners, func(l Listener) bool { return l.reaches(agent) }) {
		d.warn(Problem{Stanza: inEnvironment("VAULT_AGENT_ADDR"), Text: "this is the address of a listener, and is not used as that of Vault", Remedy: "unset it for Leasehold"})
	}
}
