package config

import "fmt"

var sinkKeys = table{
	"type":        {kind: text, doc: "The type, if the label does not name it: `file`."},
	"config":      {block: single, doc: "Which file, and whose."},
	"wrap_ttl":    {kind: duration, doc: "Has Vault wrap each token for so long: the file holds the JSON of the wrapping token, in one line. Who reads it unwraps it once (`vault unwrap`), and renews nothing: Leasehold keeps the token alive."},
	"dh_type":     {kind: text, doc: "`curve25519`: the content is encrypted for the client alone. Needs `dh_path`."},
	"dh_path":     {kind: text, doc: "The file with the client's public key. Needs `dh_type`."},
	"derive_key":  {kind: boolean, doc: "Derives the AES key with HKDF, which binds both public keys to it: better, when the client knows of it."},
	"aad":         {kind: text, secret: true, doc: "Additional authenticated data that the client has to know."},
	"aad_env_var": {kind: text, doc: "The variable that holds it; wins, and one that is not set means none."},
}

var fileSinkKeys = table{
	"path":          {kind: text, required: true, example: `"/run/leasehold/token"`, doc: "The file that holds the bare token, without a newline. It is written to a temporary file beside it and renamed over it, so that readers see the old token or the new one. The directory must exist, and stay writable."},
	"mode":          {kind: fileMode, preset: writtenMode{mode: 0o640}, doc: "A number or an octal string; exact, whatever the umask; on Windows see [security](security.md#files-on-windows). A warning when every user of the machine could read a token that is not encrypted, or replace it."},
	"owner":         {kind: account, implied: "the process's", doc: "A name or a number; not on Windows."},
	"group":         {kind: account, implied: "the process's", doc: "A name or a number; not on Windows."},
	"keep_existing": {kind: boolean, ours: true, doc: "A file that is there keeps its mode, owner and group; `mode`, `owner` and `group` are then for one that is not; not on Windows."},
}

func (d *decoder) sink(b block) Sink {
	s := d.section("auto_auth.sink", b, sinkKeys)
	sink := Sink{Pos: s.pos, Type: d.typeOf(s, b), WrapTTL: s.Duration("wrap_ttl")}
	switch sink.Type {
	case "file":
	case "":
		d.fail(s.problem(s.pos, "sink type must be specified", `write sink "file" { ... }`))
		return sink
	default:
		d.fail(s.problem(s.pos, fmt.Sprintf("unknown sink type %q", clip(sink.Type)), `use sink "file"`))
		return sink
	}
	d.encryption(s, &sink)
	file := d.inner(s, fileSinkKeys)
	mode := setting[writtenMode](file.Settings, "mode")
	sink.Path, sink.Mode, sink.KeepExisting = file.String("path"), mode.mode, file.Bool("keep_existing")
	sink.Owner, sink.Group = file.String("owner"), file.String("group")
	switch {
	case mode.decimal != "":
		d.warn(file.problem(file.place("mode"), fmt.Sprintf("sink.config.mode = %s is a decimal number, %#o in octal", mode.decimal, mode.mode),
			fmt.Sprintf(`write mode = "0%s" if that was meant`, mode.decimal)))
	case mode.mode&0o002 != 0:
		d.warn(file.problem(file.place("mode"), fmt.Sprintf("sink.config.mode = %#o lets every user of the machine replace the token", mode.mode),
			fmt.Sprintf(`write mode = "%#o", and set group if another user is to read it`, mode.mode&0o770)))
	case mode.mode&0o004 != 0 && sink.DHPath == "":
		d.warn(file.problem(file.place("mode"), fmt.Sprintf("sink.config.mode = %#o lets every user of the machine read the token", mode.mode),
			fmt.Sprintf(`write mode = "%#o", and set group if another user is to read it; or encrypt the sink`, mode.mode&0o770)))
	}
	return sink
}

// encryption reads what says for whom, and how, a sink is encrypted.
func (d *decoder) encryption(s section, sink *Sink) {
	kind, variable := s.String("dh_type"), s.String("aad_env_var")
	sink.DHPath, sink.DeriveKey, sink.AAD = s.String("dh_path"), s.Bool("derive_key"), s.String("aad")
	if variable != "" {
		sink.AAD = d.variable(variable) // also when that is nothing
		d.origins.set(s.prefix+"aad", sink.AAD, Source{Kind: SourceEnvironment, Name: variable})
	}
	const remedy = `write dh_type = "curve25519" and dh_path, or remove it`
	switch {
	case kind != "" && kind != "curve25519":
		d.fail(s.problem(s.place("dh_type"), fmt.Sprintf(`sink.dh_type must be "curve25519", not %q`, clip(kind)), `write dh_type = "curve25519"`))
	case (kind == "") != (sink.DHPath == ""):
		d.fail(s.problem(s.pos, "'dh_type' and 'dh_path' must be specified together", `write dh_type = "curve25519" and the path of the client's public key`))
	case kind != "":
		if variable != "" && sink.AAD == "" {
			d.warn(s.problem(s.place("aad_env_var"), fmt.Sprintf("the variable %s of sink.aad_env_var is not set: the AAD is empty", clip(variable)), "set it"))
		}
	case sink.AAD != "" && variable != "":
		d.fail(s.problem(s.place("aad_env_var"), "sink.aad_env_var means nothing without dh_type", remedy))
	case sink.AAD != "":
		d.fail(s.problem(s.place("aad"), "sink.aad means nothing without dh_type", remedy))
	case sink.DeriveKey:
		d.fail(s.problem(s.place("derive_key"), "sink.derive_key means nothing without dh_type", remedy))
	case variable != "":
		d.warn(s.problem(s.place("aad_env_var"), "sink.aad_env_var has no effect: the sink is not encrypted", remedy))
	}
}
