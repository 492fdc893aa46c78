package lease

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"leasehold/internal/vault"
)

// Secret is the part of a Vault answer that decides about keeping it. Data is never looked at: a KV secret may have a field
// called renewable.
type Secret struct {
	LeaseID   vault.LeaseID
	Renewable bool
	TTL       time.Duration
	Auth      *Auth
	Wrapped   bool // wrap_info is present: the answer holds a wrapping token and no lease

	digits span // the digits of lease_duration in the body
}

// Auth is the auth object of an answer: a token that was created, or renewed.
type Auth struct {
	Token     vault.Token
	Accessor  vault.Accessor
	Renewable bool
	TTL       time.Duration
	Orphan    bool
	MFA       bool // a login that still waits for its second factor

	digits span
}

// span is a range of bytes, end excluded.
type span struct{ from, to int }

var errShape = errors.New("not the shape of a Vault secret")

// MayHold is a quick look that lets most answers pass without parsing: what can be kept says "renewable": true somewhere.
func MayHold(body []byte) bool {
	for {
		_, rest, found := bytes.Cut(body, []byte(`"renewable"`))
		if !found {
			return false
		}
		if bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n:"), []byte("true")) {
			return true
		}
		body = rest
	}
}

// ParseSecret reads an answer's body. The error means "let it pass": arrays, wrong types, duplicate keys, broken JSON.
func ParseSecret(body []byte) (*Secret, error) {
	r := reader{dec: json.NewDecoder(bytes.NewReader(body))}
	r.dec.UseNumber()
	var s Secret
	err := r.object(func(key string) (err error) {
		switch key {
		case "lease_id":
			var id string
			id, err = value[string](&r)
			s.LeaseID = vault.LeaseID(id)
		case "renewable":
			s.Renewable, err = value[bool](&r)
		case "lease_duration":
			s.TTL, s.digits, err = r.seconds()
		case "auth":
			s.Auth, err = r.auth()
		case "wrap_info":
			s.Wrapped, err = r.present()
		default:
			err = r.skip()
		}
		return err
	})
	if _, end := r.dec.Token(); err == nil && end != io.EOF {
		err = errShape
	}
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return &s, nil
}

// reader walks JSON token by token, which is the one way in the standard library to know where in the body a number stands.
type reader struct{ dec *json.Decoder }

func (r *reader) object(field func(key string) error) error {
	if t, err := r.dec.Token(); err != nil || t != json.Delim('{') {
		return errShape
	}
	return r.fields(field)
}

// fields reads the rest of an object whose opening brace was read.
func (r *reader) fields(field func(key string) error) error {
	var seen [32]string // more keys than any answer of Vault has at these two levels; an answer that has more passes
	for n := 0; r.dec.More(); n++ {
		t, err := r.dec.Token()
		key, ok := t.(string)
		if err != nil || !ok || n == len(seen) {
			return errShape
		}
		for _, k := range seen[:n] {
			if k == key {
				return errShape
			}
		}
		seen[n] = key
		if err := field(key); err != nil {
			return err
		}
	}
	if _, err := r.dec.Token(); err != nil {
		return errShape
	}
	return nil
}

// value reads a string or a bool; null is the zero value, as in Go's own decoding.
func value[T string | bool](r *reader) (v T, err error) {
	t, err := r.dec.Token()
	if err != nil {
		return v, errShape
	}
	if t == nil {
		return v, nil
	}
	v, ok := t.(T)
	if !ok {
		return v, errShape
	}
	return v, nil
}

// maxSeconds keeps arithmetic on durations from overflowing: a hundred years.
const maxSeconds = 100 * 365 * 24 * 3600

func (r *reader) seconds() (time.Duration, span, error) {
	t, err := r.dec.Token()
	n, ok := t.(json.Number)
	if err != nil || !ok {
		return 0, span{}, errShape
	}
	v, err := n.Int64()
	if err != nil || v < 0 || v > maxSeconds {
		return 0, span{}, errShape
	}
	end := int(r.dec.InputOffset())
	return time.Duration(v) * time.Second, span{end - len(n), end}, nil
}

func (r *reader) auth() (*Auth, error) {
	t, err := r.dec.Token()
	if err != nil {
		return nil, errShape
	}
	if t == nil {
		return nil, nil
	}
	if t != json.Delim('{') {
		return nil, errShape
	}
	var a Auth
	err = r.fields(func(key string) (err error) {
		var text string
		switch key {
		case "client_token":
			text, err = value[string](r)
			a.Token = vault.NewToken(text)
		case "accessor":
			text, err = value[string](r)
			a.Accessor = vault.Accessor(text)
		case "renewable":
			a.Renewable, err = value[bool](r)
		case "orphan":
			a.Orphan, err = value[bool](r)
		case "lease_duration":
			a.TTL, a.digits, err = r.seconds()
		case "mfa_requirement":
			a.MFA, err = r.present()
		default:
			err = r.skip()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &a, nil
}

// present skips a value and tells whether it was something other than null.
func (r *reader) present() (bool, error) {
	var raw json.RawMessage
	if err := r.dec.Decode(&raw); err != nil {
		return false, errShape
	}
	return !bytes.Equal(raw, []byte("null")), nil
}

func (r *reader) skip() error {
	_, err := r.present()
	return err
}
