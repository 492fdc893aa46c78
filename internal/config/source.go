package config

// SourceKind says what kind of place a value came from.
type SourceKind uint8

// The places of a value, the weakest first.
const (
	SourceDefault SourceKind = iota
	SourceFile
	SourceEnvironment
	SourceFlag
)

// Source is where a value came from.
type Source struct {
	Kind SourceKind
	Pos  Pos    // of a file
	Name string // of the variable, or of the flag with its dash
}

// Setting is one value of the effective configuration. Who shows it leaves the value of a secret out.
type Setting struct {
	Path   string // vault.address; blocks that may be repeated are counted from 0: listener[0].tls_cert_file
	Value  any
	Secret bool // the value may be a secret, and is nil
	Source Source
}
