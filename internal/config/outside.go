package config

import "strconv"

// What flags and variables decide is noted here for [Options.Sources].

// outside notes the flag or the variable that wins over a file, if there is one, with the value that it has brought.
func (d *decoder) outside(path, flag string, given bool, variable string, v any) {
	switch {
	case given:
		d.origins.set(path, v, Source{Kind: SourceFlag, Name: flag})
	case variable != "" && d.variable(variable) != "":
		d.origins.set(path, v, Source{Kind: SourceEnvironment, Name: variable})
	}
}

// addressOutside notes an address that takes the place of all in the file.
func (d *decoder) addressOutside(p place, address string) {
	d.outside("vault.address", p.name, !p.variable, p.name, address)
	d.outside("vault.addresses", p.name, !p.variable, p.name, []string(nil))
}

// retriesOutside notes VAULT_MAX_RETRIES, which is read with Vault's other variables when the pool for Vault is made. What cannot be read ends the start there.
func (d *decoder) retriesOutside() {
	const variable = "VAULT_MAX_RETRIES"
	n, err := strconv.ParseUint(d.variable(variable), 10, 31)
	if err != nil {
		return
	}
	retries := int(n)
	if retries == 0 {
		retries = -1 // as a file says it
	}
	d.outside("vault.retry.num_retries", "", false, variable, retries)
}

// redirectsOutside notes VAULT_DISABLE_REDIRECTS, which is read there too.
func (d *decoder) redirectsOutside(f VaultFlags) {
	const variable = "VAULT_DISABLE_REDIRECTS"
	if on, err := strconv.ParseBool(d.variable(variable)); f.DisableRedirects || err == nil && on {
		d.outside("vault.pass_redirects", "-disable-redirects", f.DisableRedirects, variable, true)
	}
}

// keylessVariables have no key in a file. All are read when the pool for Vault is made.
var keylessVariables = []struct {
	name   string
	hidden bool
}{
	{"VAULT_CACERT_BYTES", true}, {"VAULT_CLIENT_TIMEOUT", false}, {"VAULT_HEADERS", true}, {"VAULT_HTTP_PROXY", true}, {"VAULT_PROXY_ADDR", true},
	{"VAULT_RATE_LIMIT", false}, {"VAULT_SRV_LOOKUP", false}, {"HTTP_PROXY", true}, {"HTTPS_PROXY", true}, {"NO_PROXY", false},
	{"http_proxy", true}, {"https_proxy", true}, {"no_proxy", false},
}

func (d *decoder) keyless() {
	for _, variable := range keylessVariables {
		if text := d.variable(variable.name); text != "" && d.origins != nil {
			d.origins.put(Setting{Path: variable.name, hidden: variable.hidden, keyless: true}, text, Source{Kind: SourceEnvironment, Name: variable.name})
		}
	}
}

// header notes a header of the command line, whose value may be what a gateway before Vault asks for.
func (d *decoder) header(name, value string) {
	if d.origins != nil {
		d.origins.put(Setting{Path: "-header " + name, hidden: true, keyless: true}, value, Source{Kind: SourceFlag, Name: "-header"})
	}
}
