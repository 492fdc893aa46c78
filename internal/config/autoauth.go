package config

// autoAuth reads an auto_auth stanza.
func (d *decoder) autoAuth(b block) AutoAuth {
	s := d.section("auto_auth", b, autoAuthKeys)
	a := AutoAuth{
		Pos: s.pos, Name: d.nameOf(s, b), ReauthOnNewCredentials: s.Bool("enable_reauth_on_new_credentials"), RevokeOnExit: s.Bool("revoke_on_exit"),
	}

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
	d.checkWrapping(s, &a)
	return a
}
