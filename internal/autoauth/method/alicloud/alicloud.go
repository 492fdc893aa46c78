package alicloud

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/cloud"
)

const (
	// DefaultMountPath is where the AliCloud auth method is mounted unless told otherwise.
	DefaultMountPath = "auth/alicloud"

	retrieval = 20 * time.Second // bounds how long credentials are looked for
)

// Options tune a Method.
type Options struct {
	MountPath    string        // with its auth/ prefix and without a slash at the end; default DefaultMountPath
	Credentials  Credentials   // used unless the environment has some; default: the RAM role of the ECS instance
	PollInterval time.Duration // in which Watch looks for other credentials; default 1 min

	MetadataURL string // of the ECS instance metadata; default http://100.100.100.200
	STSURL      string // which grants sessions; default the STS of the region. Vault always asks the latter
}

// Method logs in with a request to STS that it signs and that Vault sends. Its methods may be called from any goroutine.
type Method struct {
	role, region string
	o            Options
	log          *slog.Logger
	source       source

	mu   sync.Mutex // guards last, and is never held while anything is waited for
	last keys       // those that the last Login has used
}

// Open makes the method and looks for credentials: that there are none is an error, for a login could then never succeed. The environment comes first
// (ALICLOUD_ACCESS_KEY and its kin, as in Vault, or ALIBABA_CLOUD_ACCESS_KEY_ID and its), then Options.Credentials, then the instance metadata.
func Open(ctx context.Context, role, region string, log *slog.Logger, o Options) (*Method, error) {
	if role == "" {
		return nil, errors.New("the AliCloud login has no role; set role to the name of the RAM role that Vault's role is for")
	}
	if region == "" || strings.Trim(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return nil, fmt.Errorf("%q is not an AliCloud region; set region, for example to %q", region, "cn-hangzhou")
	}
	if o.MountPath == "" {
		o.MountPath = DefaultMountPath
	}
	if o.PollInterval <= 0 {
		o.PollInterval = time.Minute
	}
	if o.MetadataURL == "" {
		o.MetadataURL = "http://100.100.100.200"
	}
	if o.STSURL == "" {
		o.STSURL = "https://" + stsHost(region)
	}
	m := &Method{role: role, region: region, o: o, log: log}
	var err error
	if m.source, err = m.newSource(); err != nil {
		return nil, err
	}
	if _, err := m.credentials(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// stsHost is the only host that Vault accepts for the region.
func stsHost(region string) string { return "sts." + region + ".aliyuncs.com" }

// Login signs a request for who we are, and sends it to Vault, once.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	k, err := m.credentials(ctx)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.last = k
	m.mu.Unlock()
	body, err := m.body(k)
	if err != nil {
		return nil, err
	}
	secret, err := c.Logical().WriteWithContext(ctx, m.o.MountPath+"/login", body)
	return secret, withoutEcho(err)
}

// withoutEcho keeps of Vault's error what goes before the request that it could not make, or the answer that it got from STS: both have what is signed in
// them, and whoever reads that before it is too old may log in with it.
func withoutEcho(err error) error {
	answer, ok := errors.AsType[*api.ResponseError](err)
	if !ok {
		return err
	}
	for i, text := range answer.Errors {
		if at := strings.IndexAny(text, "{<?"); at >= 0 {
			answer.Errors[i] = text[:at] + "..."
		}
	}
	return err
}

func (m *Method) body(k keys) (map[string]any, error) {
	query := k.sign(map[string]string{"Action": "GetCallerIdentity", "RegionId": m.region})
	headers, err := json.Marshal(http.Header{ // Vault sends them as they are, and needs some; the signature is in the URL
		"Accept":          {"application/json"},
		"Accept-Encoding": {"identity"},
		"Content-Type":    {"application/x-www-form-urlencoded"},
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"role":                     m.role,
		"identity_request_url":     base64.StdEncoding.EncodeToString([]byte("https://" + stsHost(m.region) + "/?" + query)),
		"identity_request_headers": base64.StdEncoding.EncodeToString(headers),
	}, nil
}

// Watch asks for the credentials every PollInterval, and calls changed when they are others than those of the last Login.
func (m *Method) Watch(ctx context.Context, changed func()) {
	cloud.Poll(ctx, m.o.PollInterval, m.log, m.credentials, m.differs, changed)
}

func (m *Method) differs(k keys) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last.id == "" { // no login yet: the last run's token was got with these
		m.last = k
	}
	return k.id != m.last.id || k.secret != m.last.secret || k.token != m.last.token
}

func (m *Method) credentials(ctx context.Context) (keys, error) {
	ctx, cancel := context.WithTimeout(ctx, retrieval)
	defer cancel()
	k, err := m.source.current(ctx)
	if err != nil {
		return keys{}, fmt.Errorf("find AliCloud credentials: %w; set access_key, access_secret and role_arn or the ALICLOUD_ variables, or give this instance a RAM role", err)
	}
	return k, nil
}

// Remedy says what to do about a refused login. Vault answers 400 to a role that it does not have, 500 to what STS refuses and to whom the role is not for.
func (m *Method) Remedy(status int) string {
	if status == http.StatusNotFound {
		return fmt.Sprintf("check that an AliCloud auth method is mounted at %s in this namespace", m.o.MountPath)
	}
	return fmt.Sprintf("check that %s has a role %q for the RAM role of these credentials, that they are of a RAM role (keys alone are not enough), "+
		"that region is right, and that the clock is right", m.o.MountPath, m.role)
}
