package config

import (
	"fmt"
	"time"
)

// Settings are values that were checked against a table: each is present, given or by default, and has the type of its key.
// Asking for a key that the table does not have, or with another type, returns the zero value. Settings never print their values.
type Settings struct {
	values map[string]any
}

// String returns a text, "" when it was not given and has no default.
func (s Settings) String(key string) string { return setting[string](s, key) }

// Bool returns a boolean, false when it was not given and has no default.
func (s Settings) Bool(key string) bool { return setting[bool](s, key) }

// Duration returns a duration, 0 when it was not given and has no default.
func (s Settings) Duration(key string) time.Duration { return setting[time.Duration](s, key) }

// Int returns a whole number, 0 when it was not given and has no default.
func (s Settings) Int(key string) int { return setting[int](s, key) }

// Format implements fmt.Formatter for every verb: settings of a login method can be secrets.
func (Settings) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[settings]")) }

func setting[T any](s Settings, key string) T {
	v, _ := s.values[key].(T)
	return v
}
