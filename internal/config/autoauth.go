package config

import (
	"fmt"
	"maps"
	"strings"

	"leasehold/internal/vault"
)

// autoAuth reads the auto_auth stanza; nil when there is none.
func (d *decoder) autoAuth(top section) *AutoAuth {
	b, ok := d.only(top, "auto_auth")
	if !ok {
		return nil
	}
	s := d.section("auto_auth", b, autoAuthKeys)
	a := &AutoAuth{Pos: s.pos, ReauthOnNewCredentials: s.Bool("enable_reauth_on_new_credentials")}

	methods := typed(s.blocks["method"], methodKeys)
	for _, m := range methods {
		a.Method = d.method(m)
	}
	if len(methods) != 1 {
		at := s.pos
		if len(methods) > 1 {
			at = methods[1].pos
		}
		d.fail(s.problem(at, `one and only one "method" block is required`, `write for example method "approle" { ... }`))
	}

	sinks := s.blocks["sink"]
	for _, wrapper := range s.blocks["sinks"] {
		d.idleLabels(s, wrapper, 0)
		sinks = append(sinks, d.section("auto_auth.sinks", wrapper, sinksKeys).blocks["sink"]...)
	}
	for _, sink := range typed(sinks, sinkKeys) {
		a.Sinks = append(a.Sinks, d.sink(sink))
	}
	return a
}

func (d *decoder) method(b block) Method {
	s := d.section("auto_auth.method", b, methodKeys)
	m := Method{
		Pos:        s.pos,
		Type:       d.typeOf(s, b),
		MountPath:  strings.Trim(s.String("mount_path"), "/"),
		Namespace:  string(vault.CanonicalNamespace(s.String("namespace"))),
		MinBackoff: s.Duration("min_backoff"),
		MaxBackoff: s.Duration("max_backoff"),
		ExitOnErr:  s.Bool("exit_on_err"),
	}
	if d.variable("VAULT_NAMESPACE") != "" {
		m.Namespace = "" // the environment's is used for everything, and stands in Vault.Namespace
	}
	if m.MountPath == "" {
		m.MountPath = "auth/" + m.Type
	}
	if !strings.HasPrefix(m.MountPath, "auth/") && m.Type != "token_file" {
		d.warn(s.problem(s.place("mount_path"), fmt.Sprintf("method.mount_path %q does not begin with auth/", clip(m.MountPath)),
			fmt.Sprintf("did you mean %q?", clip("auth/"+m.MountPath))))
	}
	if m.MinBackoff > m.MaxBackoff {
		d.fail(s.problem(s.place("min_backoff"), "method.min_backoff cannot be greater than max_backoff",
			fmt.Sprintf("write at most %v, or raise max_backoff", m.MaxBackoff)))
	}
	keys, known := methodConfigs[m.Type]
	switch {
	case m.Type == "":
		d.fail(s.problem(s.pos, "auth method type must be specified", `write for example method "approle" { ... }`))
	case !known:
		remedy := builtOnly
		if near := nearest(m.Type, maps.Keys(methodConfigs)); near != "" {
			remedy = fmt.Sprintf("did you mean %q?", near)
		}
		d.fail(s.problem(s.pos, fmt.Sprintf("unknown auth method %q", clip(m.Type)), remedy))
	case !builtMethods[m.Type]:
		d.fail(s.problem(s.pos, fmt.Sprintf("auth method %q is not built yet", m.Type), builtOnly))
	}
	if known {
		m.Settings = d.inner(s, keys).Settings
	}
	return m
}

// inner reads the config block of a method or a sink; without one, what is required is missing all the same.
func (d *decoder) inner(s section, keys table) section {
	b, ok := d.only(s, "config")
	if !ok {
		b = block{pos: s.pos, body: &body{}}
	}
	return d.section(s.path+".config", b, keys)
}

func (d *decoder) sink(b block) Sink {
	s := d.section("auto_auth.sink", b, sinkKeys)
	sink := Sink{Pos: s.pos, Type: d.typeOf(s, b)}
	switch sink.Type {
	case "file":
	case "":
		d.fail(s.problem(s.pos, "sink type must be specified", `write sink "file" { ... }`))
		return sink
	default:
		d.fail(s.problem(s.pos, fmt.Sprintf("unknown sink type %q", clip(sink.Type)), `use sink "file"`))
		return sink
	}
	file := d.inner(s, fileSinkKeys)
	mode := setting[writtenMode](file.Settings, "mode")
	if mode.decimal != "" {
		d.warn(file.problem(file.place("mode"), fmt.Sprintf("sink.config.mode = %s is a decimal number, %#o in octal", mode.decimal, mode.mode),
			fmt.Sprintf(`write mode = "0%s" if that was meant`, mode.decimal)))
	}
	sink.Path, sink.Mode = file.String("path"), mode.mode
	sink.Owner, sink.Group = file.String("owner"), file.String("group")
	return sink
}
