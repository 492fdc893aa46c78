package config

// vault reads the vault stanza.
func (d *decoder) vault(top section) Vault {
	b, ok := d.only(top, "vault")
	if !ok {
		return Vault{NumRetries: defaultRetries}
	}
	s := d.section("vault", b, vaultKeys)
	v := Vault{
		Pos:           s.pos,
		Address:       normalizeAddress(s.String("address")),
		CACert:        s.String("ca_cert"),
		CAPath:        s.String("ca_path"),
		ClientCert:    s.String("client_cert"),
		ClientKey:     s.String("client_key"),
		TLSServerName: s.String("tls_server_name"),
		TLSSkipVerify: s.Bool("tls_skip_verify"),
		Namespace:     s.String("namespace"),
		NumRetries:    d.numRetries(s),
	}
	if v.Address != "" && !reachable(v.Address) { // not shown: it may hold a password
		d.fail(s.problem(s.place("address"), "address must begin with http://, https:// or unix:/// and name a host or a socket",
			vaultKeys["address"].assign("address")))
	}
	hasCert := v.ClientCert != "" || d.variable("VAULT_CLIENT_CERT") != ""
	hasKey := v.ClientKey != "" || d.variable("VAULT_CLIENT_KEY") != ""
	if (v.ClientCert != "" || v.ClientKey != "") && hasCert != hasKey {
		d.fail(s.problem(s.pos, "both client cert and client key must be provided", "set client_cert and client_key, or neither"))
	}
	return v
}

// numRetries reads vault.retry: absent or 0 is the default, anything negative no retry at all.
func (d *decoder) numRetries(vault section) int {
	b, ok := d.only(vault, "retry")
	if !ok {
		return defaultRetries
	}
	n := setting[int](d.section("vault.retry", b, retryKeys).Settings, "num_retries")
	if n == 0 {
		return defaultRetries
	}
	return max(n, 0)
}
