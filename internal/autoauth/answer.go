package autoauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/vault"
)

// answer is what Vault said to a login.
type answer struct {
	token    vault.Token
	accessor vault.Accessor
	policies []string
	grant    vault.Grant
	uses     int  // how often the token may be used; 0: any number of times, or not known
	lookedUp bool // it is the answer to a lookup
}

var (
	errNoToken = errors.New("Vault's answer has no token; check mount_path")
	errMFA     = errors.New("Vault wants a second factor (mfa_requirement), which auto-auth cannot give; exempt the role from login MFA")
	errEnding  = errors.New("the token ends within a second")
)

// readAnswer reads the answer to a login, or to auth/token/lookup-self.
func readAnswer(s *api.Secret) (answer, error) {
	if s != nil && s.Auth != nil && s.Auth.MFARequirement != nil {
		return answer{}, errMFA
	}
	lookedUp := s != nil && s.Auth == nil // before the library fills it in
	id, err := s.TokenID()
	if err != nil {
		return answer{}, err
	}
	if id == "" {
		return answer{}, errNoToken
	}
	accessor, err := s.TokenAccessor()
	if err != nil {
		return answer{}, err
	}
	policies, err := s.TokenPolicies()
	if err != nil {
		return answer{}, err
	}
	grant, err := readGrant(s)
	if err != nil {
		return answer{}, err
	}
	// A lookup rounds the time left down. Zero means "never" only if there is no time to expire at.
	if grant.TTL == 0 && s.Data["expire_time"] != nil {
		return answer{}, errEnding
	}
	return answer{token: vault.NewToken(id), accessor: vault.Accessor(accessor), policies: policies, grant: grant, lookedUp: lookedUp}, nil
}

func readGrant(s *api.Secret) (vault.Grant, error) {
	ttl, err := s.TokenTTL()
	if err != nil {
		return vault.Grant{}, fmt.Errorf("read the token's TTL: %w", err)
	}
	renewable, err := s.TokenIsRenewable()
	if err != nil {
		return vault.Grant{}, err
	}
	return vault.Grant{TTL: max(ttl, 0), Renewable: renewable}, nil
}

// useCounter looks in the answers for the field that vault/api leaves out: how often the token may be used.
type useCounter struct{ body bytes.Buffer }

// tap is a response callback: it copies the answer's body while the client reads it.
func (u *useCounter) tap(resp *api.Response) {
	u.body.Reset() // a login may take several requests; the last one brings the token
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(resp.Body, &u.body), resp.Body}
}

// uses returns the number of uses the token has, 0 for any number.
func (u *useCounter) uses() int {
	type object struct {
		NumUses int `json:"num_uses"`
	}
	var s struct{ Auth, Data object }
	if err := json.Unmarshal(u.body.Bytes(), &s); err != nil {
		return 0 // it only serves a warning
	}
	return max(s.Auth.NumUses, s.Data.NumUses)
}
