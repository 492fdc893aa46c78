package alicloud

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// Credentials are those of a person, of whom a session is derived, or of the instance. What is empty is not used.
type Credentials struct {
	AccessKey, AccessSecret string // go together
	AccessToken             string // of the session that the keys are of

	RoleARN               string        // the role that the keys assume
	RoleSessionName       string        // default "leasehold"
	RoleSessionExpiration time.Duration // in whole seconds, at least 15 min; default 1 h

	PublicKeyID, PrivateKey string        // an RSA key pair instead of access keys; PEM or the base64 of PKCS #8
	SessionExpiration       time.Duration // of the pair's sessions; as RoleSessionExpiration

	RoleName string // the RAM role of the ECS instance; default: whichever it has
}

// source gives the keys in force, from any goroutine.
type source interface {
	current(ctx context.Context) (keys, error)
}

func (m *Method) newSource() (source, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	for _, c := range []Credentials{env, m.o.Credentials} {
		if s, err := m.sourceOf(c); s != nil || err != nil {
			return s, err
		}
	}
	return &kept{fetch: func(ctx context.Context) (keys, error) { return fromMetadata(ctx, m.o.MetadataURL, "") }}, nil
}

// sourceOf returns nil when c has no credentials.
func (m *Method) sourceOf(c Credentials) (source, error) {
	switch {
	case (c.AccessKey == "") != (c.AccessSecret == ""):
		return nil, errors.New("an AliCloud access key and its secret belong together; set both access_key and access_secret, or neither")
	case (c.PublicKeyID == "") != (c.PrivateKey == ""):
		return nil, errors.New("the two keys of an AliCloud key pair belong together; set both public_key_id and private_key, or neither")
	}
	for key, d := range map[string]*time.Duration{"role_session_expiration": &c.RoleSessionExpiration, "session_expiration": &c.SessionExpiration} {
		if *d == 0 {
			*d = time.Hour
		}
		if *d < 15*time.Minute {
			return nil, fmt.Errorf("AliCloud grants no session of %v; set %s to at least 900", *d, key)
		}
	}
	switch {
	case c.AccessKey != "" && c.RoleARN != "":
		if c.RoleSessionName == "" {
			c.RoleSessionName = "leasehold"
		}
		return &kept{reuse: true, fetch: func(ctx context.Context) (keys, error) { return assumeRole(ctx, m.o.STSURL, c) }}, nil
	case c.AccessKey != "":
		return keys{id: c.AccessKey, secret: c.AccessSecret, token: c.AccessToken}, nil
	case c.RoleName != "":
		return &kept{fetch: func(ctx context.Context) (keys, error) { return fromMetadata(ctx, m.o.MetadataURL, c.RoleName) }}, nil
	case c.PrivateKey != "":
		key, err := parsePrivateKey(c.PrivateKey)
		if err != nil {
			return nil, err
		}
		return &kept{reuse: true, fetch: func(ctx context.Context) (keys, error) { return pairSession(ctx, m.o.STSURL, c, key) }}, nil
	}
	if c.RoleARN != "" {
		m.log.Warn("role_arn is not used: AliCloud lets nobody assume a role without access_key and access_secret")
	}
	return nil, nil
}

// environment reads the variables that Vault reads, and where there are none, those of Alibaba's newer libraries.
func environment() (Credentials, error) {
	get := func(names ...string) string {
		for _, name := range names {
			if v := os.Getenv(name); v != "" {
				return v
			}
		}
		return ""
	}
	c := Credentials{
		AccessKey:       get("ALICLOUD_ACCESS_KEY", "ALIBABA_CLOUD_ACCESS_KEY_ID"),
		AccessSecret:    get("ALICLOUD_SECRET_KEY", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
		AccessToken:     get("ALICLOUD_ACCESS_KEY_STS_TOKEN", "ALIBABA_CLOUD_SECURITY_TOKEN"),
		RoleARN:         get("ALICLOUD_ROLE_ARN"),
		RoleSessionName: get("ALICLOUD_ROLE_SESSION_NAME"),
		PublicKeyID:     get("ALICLOUD_PUBLIC_KEY_ID"),
		PrivateKey:      get("ALICLOUD_PRIVATE_KEY"),
		RoleName:        get("ALICLOUD_ROLE_NAME", "ALIBABA_CLOUD_ECS_METADATA"),
	}
	for name, d := range map[string]*time.Duration{
		"ALICLOUD_ROLE_SESSION_EXPIRATION": &c.RoleSessionExpiration, "ALICLOUD_SESSION_EXPIRATION": &c.SessionExpiration,
	} {
		v := os.Getenv(name)
		if v == "" {
			continue
		}
		seconds, err := strconv.Atoi(v)
		if err != nil {
			return Credentials{}, fmt.Errorf("the environment variable %s is not a number; set it to seconds, for example 3600", name)
		}
		*d = time.Duration(seconds) * time.Second
	}
	return c, nil
}

// kept remembers what was fetched. Sessions are used again until they are about to expire, for each new one has other keys. The metadata gives the same keys
// until they rotate, so it is asked each time, and what it gave before serves while it is away.
type kept struct {
	fetch func(context.Context) (keys, error)
	reuse bool

	mu   sync.Mutex // guards last, and is never held while fetching
	last keys
}

// margin is how long before their end keys are replaced: Vault must still get through with a request signed now.
const margin = 5 * time.Minute

func (s *kept) current(ctx context.Context) (keys, error) {
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	left := time.Until(last.expires)
	if s.reuse && left > margin {
		return last, nil
	}
	k, err := s.fetch(ctx)
	switch {
	case err == nil:
		s.mu.Lock()
		s.last = k
		s.mu.Unlock()
		return k, nil
	case left > 0 && ctx.Err() == nil:
		return last, nil
	}
	return keys{}, err
}
