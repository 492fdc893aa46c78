package vault

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what a secret shows of itself, whoever asks and however.
const redacted = "[redacted]"

// Token is a Vault token. It prints as [redacted] under every verb, in every log and in JSON.
// Search for Reveal to see each place where a token leaves the process.
// The zero Token means "no token". Tokens are compared with Equal, never with ==.
type Token struct {
	_    [0]func() // not comparable: == would leak timing and tempt map keys
	text *string   // behind a pointer, because fmt asks no method of what stands in an unexported field
}

// NewToken takes the token's text as it is, without trimming.
func NewToken(s string) Token { return Token{text: &s} }

// Reveal returns the token's text. It is called where a token leaves the process, or goes into a hash.
func (t Token) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.Reveal() == "" }

// Equal compares in time that depends on the lengths only.
func (t Token) Equal(o Token) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(o.Reveal())) == 1
}

// ID is what indexes know a token by: its SHA-256, which cannot be turned back into the token.
func (t Token) ID() TokenID { return sha256.Sum256([]byte(t.Reveal())) }

// Printable reports whether the token can be sent as a header value; Vault's own client refuses others.
func (t Token) Printable() bool {
	s := t.Reveal()
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// Format implements fmt.Formatter for every verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, and with it JSON's view of a token.
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// TokenID names a token without being one.
type TokenID [sha256.Size]byte
