package seal

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// Wrapper protects the key of a state file while it lies on disk. Implementations are safe for concurrent use, write no log, and show
// neither the key nor what protects it, in errors or when they are printed.
//
// A KMS is one more file here: its constructor takes a client that is ready to use, Wrap and Unwrap are one call each of the KMS, and
// what it refuses becomes one sentence with the remedy. The file of transit is the example.
type Wrapper interface {
	// Wrap returns secret in a form that only Unwrap can read. Whoever sees it learns at most the length of secret.
	Wrap(ctx context.Context, secret []byte) ([]byte, error)
	// Unwrap returns what Wrap was given. The error wraps ErrSealed when wrapped was made with another key, or has been changed: it will
	// never open, and its file can be set aside. Any other error means that it could not be tried (a KMS that is away, a right that is
	// missing), and that the file must stay.
	Unwrap(ctx context.Context, wrapped []byte) ([]byte, error)
}

// wrapping is what a wrapped key is bound to: nothing else that the same key sealed can be put in its place.
const wrapping = "leasehold state file key"

// Local wraps with a key that this process holds.
func Local(k *Key) Wrapper { return &local{key: k} }

type local struct {
	redacted
	key *Key
}

func (l *local) Wrap(_ context.Context, secret []byte) ([]byte, error) {
	return l.key.Seal(secret, []byte(wrapping))
}

func (l *local) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	return l.key.Open(wrapped, []byte(wrapping))
}

// redacted is embedded in what holds a key or the way to one.
type redacted struct{}

// Format implements fmt.Formatter for every verb.
func (redacted) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer.
func (redacted) LogValue() slog.Value { return slog.StringValue("[redacted]") }
