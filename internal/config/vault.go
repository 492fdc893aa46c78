package config

import (
	"fmt"
	"strings"
)

// vault reads the vault stanza.
func (d *decoder) vault(top section) Vault {
	b, _ := d.only(top, "vault")
	s := d.section("vault", b, vaultKeys)
	v := Vault{
		Pos:            s.pos,
		Address:        normalizeAddress(s.String("address")),
		CACert:         s.String("ca_cert"),
		CAPath:         s.String("ca_path"),
		ClientCert:     s.String("client_cert"),
		ClientKey:      s.String("client_key"),
		TLSServerName:  s.String("tls_server_name"),
		TLSSkipVerify:  s.Bool("tls_skip_verify"),
		Namespace:      s.String("namespace"),
		Retry:          d.retry(s),
		HealthInterval: s.Duration("health_check_interval"),
		PassRedirects:  s.Bool("pass_redirects"),
		RedirectHosts:  setting[[]string](s.Settings, "redirect_hosts"),
	}
	for _, a := range setting[[]string](s.Settings, "addresses") {
		v.Addresses = append(v.Addresses, normalizeAddress(a))
	}
	d.origins.becomes("vault.addresses", v.Addresses)
	if v.Address != "" {
		d.origins.becomes("vault.address", v.Address)
	} else if len(v.Addresses) > 0 {
		d.origins.idle(s, "address")
	}
	d.checkAddresses(s, v)
	hasCert := v.ClientCert != "" || d.flags.ClientCert != "" || d.variable("VAULT_CLIENT_CERT") != ""
	hasKey := v.ClientKey != "" || d.flags.ClientKey != "" || d.variable("VAULT_CLIENT_KEY") != ""
	if (v.ClientCert != "" || v.ClientKey != "") && hasCert != hasKey {
		d.fail(s.problem(s.pos, "both client cert and client key must be provided", "set client_cert and client_key, or neither"))
	}
	return v
}

// checkAddresses does not show an address: it may hold a password.
func (d *decoder) checkAddresses(s section, v Vault) {
	const want = " must begin with http://, https:// or unix:/// and name a host or a socket"
	if v.Address != "" && !reachable(v.Address) {
		d.fail(s.problem(s.place("address"), "address"+want, vaultKeys["address"].assign("address")))
	}
	seen := map[string]bool{}
	for i, a := range v.Addresses {
		if !reachable(a) {
			d.fail(s.problem(s.place("addresses"), fmt.Sprintf("address %d of addresses%s", i+1, want), vaultKeys["addresses"].assign("addresses")))
		} else if seen[a] {
			d.fail(s.problem(s.place("addresses"), fmt.Sprintf("address %d of addresses stands there twice", i+1), "remove it"))
		}
		seen[a] = true
	}
	if v.Address != "" && len(v.Addresses) > 0 {
		d.fail(s.problem(s.place("addresses"), "address and addresses are both set", "put them all into addresses, in the order of preference"))
	}
	for _, h := range v.RedirectHosts {
		if strings.ContainsAny(h, "/@ ") || strings.Contains(strings.TrimPrefix(h, "*."), "*") {
			d.fail(s.problem(s.place("redirect_hosts"), fmt.Sprintf("redirect_hosts holds %q, which is not a host", clip(h)),
				vaultKeys["redirect_hosts"].assign("redirect_hosts")))
		}
	}
}

// retry reads vault.retry: num_retries absent or 0 is the default, anything negative no retry at all.
func (d *decoder) retry(vault section) Retry {
	b, _ := d.only(vault, "retry")
	s := d.section("vault.retry", b, retryKeys)
	r := Retry{
		NumRetries:    max(setting[int](s.Settings, "num_retries"), -1),
		SafeOnly:      s.Bool("safe_only"),
		MaxWait:       s.Duration("max_wait"),
		MaxReplaySize: setting[int64](s.Settings, "max_replay_size"),
	}
	switch r.NumRetries {
	case 0:
		r.NumRetries = defaultRetries
		d.origins.set("vault.retry.num_retries", defaultRetries, Source{})
	case -1:
		r.NumRetries = 0
	}
	d.retriesOutside()
	return r
}
