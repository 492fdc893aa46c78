package config

import (
	"fmt"

	"leasehold/internal/vault"
)

// listeners reads every listener stanza.
func (d *decoder) listeners(top section) []Listener {
	var all []Listener
	for _, b := range typed(top.blocks["listener"], listenerKeys) {
		all = append(all, d.listener(b))
	}
	return all
}

func (d *decoder) listener(b block) Listener {
	s := d.section("listener", b, listenerKeys)
	agent, proxy := d.control(s, "agent_api"), d.control(s, "proxy_api")
	l := Listener{
		Pos:                  s.pos,
		Type:                 d.typeOf(s, b),
		TLSDisable:           s.Bool("tls_disable"),
		TLSCertFile:          s.String("tls_cert_file"),
		TLSKeyFile:           s.String("tls_key_file"),
		AutoAuth:             vault.AutoAuthName(s.String("auto_auth")),
		Role:                 roles[s.String("role")],
		RequireRequestHeader: s.Bool("require_request_header"),
		EnableQuit:           agent.Bool("enable_quit") || proxy.Bool("enable_quit"),
		EnableReauth:         agent.Bool("enable_reauth") || proxy.Bool("enable_reauth"),
		EnableStatus:         agent.Bool("enable_status") || proxy.Bool("enable_status"),
		ReadHeaderTimeout:    s.Duration("http_read_header_timeout"),
		ReadTimeout:          s.Duration("http_read_timeout"),
		WriteTimeout:         s.Duration("http_write_timeout"),
		IdleTimeout:          s.Duration("http_idle_timeout"),
		MaxRequestSize:       setting[int64](s.Settings, "max_request_size"),
		MaxHeaderSize:        setting[int64](s.Settings, "max_header_size"),
		MaxConcurrent:        max(setting[int](s.Settings, "max_concurrent_requests"), -1),
		MaxDuration:          s.Duration("max_request_duration"),
		SystemdSocket:        s.String("systemd_socket"),
	}
	d.lendAt = append(d.lendAt, s.place("auto_auth"))
	if l.MaxConcurrent == 0 {
		l.MaxConcurrent = defaultMaxConcurrent
		d.origins.set(s.prefix+"max_concurrent_requests", l.MaxConcurrent, Source{})
	}
	if l.MaxRequestSize == 0 {
		l.MaxRequestSize = defaultMaxRequestSize
		d.origins.set(s.prefix+"max_request_size", l.MaxRequestSize, Source{})
	}
	switch l.Type {
	case "tcp":
		d.tcp(s, &l)
		d.listenerTLS(s, &l)
	case "unix":
		d.unix(s, &l)
		d.listenerTLS(s, &l)
	case "":
		d.fail(s.problem(s.pos, "listener type must be specified", `write listener "tcp" { ... }`))
	default:
		d.fail(s.problem(s.pos, fmt.Sprintf("unsupported listener type %q", clip(l.Type)), `use listener "tcp" or listener "unix"`))
	}
	d.rights(s, b, &l)
	d.origins.becomes(s.prefix+"address", l.Address)
	return l
}

var roles = map[string]Role{"metrics_only": RoleMetricsOnly, "admin": RoleAdmin}

// control reads a listener's agent_api or proxy_api: what either enables is served under both prefixes.
func (d *decoder) control(listener section, key string) section {
	b, _ := d.only(listener, key)
	return d.section("listener."+key, b, controlKeys)
}
