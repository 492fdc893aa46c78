package vault

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Accessor names a token without giving its rights. It may be logged.
type Accessor string

// LeaseID is Vault's name of a lease: <path in the namespace>/<random>[.<namespace id>].
type LeaseID string

// Path returns the path, relative to its namespace, whose request created the lease; "" when the id has no slash.
func (id LeaseID) Path() string {
	i := strings.LastIndexByte(string(id), '/')
	if i < 0 {
		return ""
	}
	return string(id[:i])
}

// Namespace is a canonical namespace path: "" is the root, all others end in a slash and begin without one.
type Namespace string

// CanonicalNamespace reads a namespace as users and headers spell it: "ns1", "/ns1/", "ns1/ns2" and "root" are all fine.
func CanonicalNamespace(s string) Namespace {
	s = strings.Trim(strings.TrimSpace(s), "/")
	if s == "" || s == "root" {
		return ""
	}
	return Namespace(s + "/")
}

// Join returns the namespace child inside n.
func (n Namespace) Join(child Namespace) Namespace { return n + child }

// Contains reports whether o is n or lies below it.
func (n Namespace) Contains(o Namespace) bool { return strings.HasPrefix(string(o), string(n)) }

// Grant is what Vault promises for a lease or a token: how long, and whether asking again may prolong it.
type Grant struct {
	TTL       time.Duration // 0 means: does not expire
	Renewable bool
}

// AutoAuthName is the name of an auto_auth stanza: of one login, whose tokens follow each other. "" is that of the stanza without one.
type AutoAuthName string

// Stanza is the stanza as it is written: auto_auth, or auto_auth "name".
func (n AutoAuthName) Stanza() string {
	if n == "" {
		return "auto_auth"
	}
	return fmt.Sprintf("auto_auth %q", string(n))
}

// Identity is the token that a request will carry to Vault, and where it came from.
type Identity struct {
	Token    Token
	Injected bool         // an auto-auth token, which the client must never see
	AutoAuth AutoAuthName // whose, when Injected
	Repeated bool         // the request is sent again, since its first token was gone: there is no third time
}

// ErrRefused marks a definite no of Vault to a renewal or a login: asking again with the same credentials cannot help.
var ErrRefused = errors.New("refused by Vault")

// Refuses reports whether an answer with this status is a no that asking again cannot change. 412 is a standby that has not caught up, 429 a quota: both
// pass, as do 408 and 425.
func Refuses(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusPreconditionFailed, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// ErrTokenGone is an ErrRefused that says that Vault does not know the token.
var ErrTokenGone = fmt.Errorf("token unknown: %w", ErrRefused)

// SaysTokenGone reports whether the text of a 403 of Vault, or of OpenBao, says that the token is not known. A bare "permission denied" leaves it
// open: it is what a token without the right hears too.
func SaysTokenGone(text string) bool {
	for _, words := range [...]string{"invalid token", "bad token", "token not found"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}
