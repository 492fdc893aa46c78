package aws

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/cloud"
)

const (
	// DefaultMountPath is where the AWS auth method is mounted unless told otherwise.
	DefaultMountPath = "auth/aws"
	// DefaultRegion is the region whose STS is asked unless told otherwise.
	DefaultRegion = "us-east-1"

	// serverIDHeader binds a login to one Vault (iam_server_id_header_value in Vault's configuration of the mount).
	serverIDHeader = "X-Vault-AWS-IAM-Server-ID"
	identityQuery  = "Action=GetCallerIdentity&Version=2011-06-15"

	// retrieval bounds how long credentials are looked for: the instance metadata gives up after 5 s, STS is tried three times.
	retrieval = 20 * time.Second
)

// IAMOptions tune an IAM.
type IAMOptions struct {
	MountPath string // with its auth/ prefix and without a slash at the end; default DefaultMountPath
	Region    string // whose STS confirms who asks, and the region signed for; default DefaultRegion
	ServerID  string // the value of the signed header X-Vault-AWS-IAM-Server-ID; default: no such header

	// AccessKey and SecretKey go together, SessionToken with them. Default: the environment, the shared files, a web identity, the metadata of the
	// container or instance, whichever is found first.
	AccessKey, SecretKey, SessionToken string

	PollInterval time.Duration // in which Watch looks for other credentials; default 1 min
}

// IAM logs in with a request to STS that it signs and that Vault sends. Its methods may be called from any goroutine.
type IAM struct {
	role     string
	o        IAMOptions
	endpoint string // of STS
	log      *slog.Logger
	source   source

	mu   sync.Mutex      // guards last, and is never held while anything is waited for
	last aws.Credentials // those that the last Login has used
}

// OpenIAM makes the method and looks for credentials: that there are none is an error, for a login could then never succeed.
func OpenIAM(ctx context.Context, role string, log *slog.Logger, o IAMOptions) (*IAM, error) {
	if role == "" {
		return nil, errors.New("the AWS login has no role; set role to one of the roles of Vault's AWS auth method")
	}
	if o.MountPath == "" {
		o.MountPath = DefaultMountPath
	}
	if o.Region == "" {
		o.Region = DefaultRegion
	}
	if o.PollInterval <= 0 {
		o.PollInterval = time.Minute
	}
	endpoint, err := stsEndpoint(ctx, o.Region)
	if err != nil {
		return nil, err
	}
	m := &IAM{role: role, o: o, endpoint: endpoint, log: log}
	if m.source, err = newSource(o); err != nil {
		return nil, err
	}
	if _, err := m.credentials(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// stsEndpoint follows AWS's own rules, which know the domains of its partitions. The only global endpoint left is that of DefaultRegion: it is
// what Vault asks unless it is configured otherwise.
func stsEndpoint(ctx context.Context, region string) (string, error) {
	e, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, sts.EndpointParameters{
		Region: &region, UseFIPS: new(bool), UseDualStack: new(bool), UseGlobalEndpoint: aws.Bool(region == DefaultRegion),
	})
	if err == nil && strings.Trim(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		err = errors.New("not the name of a region") // the rules would make a host of it
	}
	if err != nil {
		return "", fmt.Errorf("find the STS of the AWS region %q: %w; correct region, for example to %q", region, err, "eu-west-1")
	}
	return e.URI.Scheme + "://" + e.URI.Host + "/", nil
}

// Login signs a request for who we are, and sends it to Vault, once.
func (m *IAM) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	creds, err := m.credentials(ctx)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.last = creds
	m.mu.Unlock()
	body, err := m.body(ctx, creds)
	if err != nil {
		return nil, err
	}
	return c.Logical().WriteWithContext(ctx, m.o.MountPath+"/login", body)
}

// Watch asks for the credentials every PollInterval, and calls changed when they are others than those of the last Login.
func (m *IAM) Watch(ctx context.Context, changed func()) {
	cloud.Poll(ctx, m.o.PollInterval, m.log, m.credentials, m.differs, changed)
}

func (m *IAM) differs(creds aws.Credentials) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last.AccessKeyID == "" { // no login yet: the last run's token was got with these
		m.last = creds
	}
	return creds.AccessKeyID != m.last.AccessKeyID || creds.SecretAccessKey != m.last.SecretAccessKey || creds.SessionToken != m.last.SessionToken
}

func (m *IAM) credentials(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, retrieval)
	defer cancel()
	creds, err := m.source.current(ctx)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("find AWS credentials: %w; set access_key and secret_key or the AWS_ variables, or give this machine a role", reason(err))
	}
	return creds, nil
}

func (m *IAM) body(ctx context.Context, creds aws.Credentials) (map[string]any, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.endpoint, strings.NewReader(identityQuery))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Header.Set("Content-Length", strconv.Itoa(len(identityQuery))) // signed, so whoever sends the request should see it
	if m.o.ServerID != "" {
		r.Header.Set(serverIDHeader, m.o.ServerID)
	}
	hash := sha256.Sum256([]byte(identityQuery))
	if err := v4.NewSigner().SignHTTP(ctx, creds, r, hex.EncodeToString(hash[:]), "sts", m.o.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign the request to STS: %w", err)
	}
	headers, err := json.Marshal(r.Header)
	if err != nil {
		return nil, err
	}
	encode := base64.StdEncoding.EncodeToString
	return map[string]any{
		"role":                    m.role,
		"iam_http_request_method": r.Method,
		"iam_request_url":         encode([]byte(r.URL.String())),
		"iam_request_body":        encode([]byte(identityQuery)),
		"iam_request_headers":     encode(headers),
	}, nil
}

// Remedy says what to do about a refused login. Vault answers 400 to whom the role does not bind and to what STS refuses, other codes to a wrong place.
func (m *IAM) Remedy(status int) string {
	if status != http.StatusBadRequest && status != http.StatusForbidden {
		return mounted(m.o.MountPath)
	}
	s := fmt.Sprintf("check that the role %q of %s binds this machine's IAM principal, that Vault's sts_endpoint is %s, that the clock is right", m.role, m.o.MountPath,
		strings.TrimSuffix(m.endpoint, "/"))
	if m.o.ServerID == "" {
		return s + ", and that Vault asks for no iam_server_id_header_value"
	}
	return s + ", and that header_value is Vault's iam_server_id_header_value"
}

func mounted(path string) string {
	return fmt.Sprintf("check that an AWS auth method is mounted at %s in this namespace", path)
}
