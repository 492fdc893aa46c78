package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/hashicorp/vault/api"

	"leasehold/internal/autoauth/cloud"
)

// DefaultMountPath is where the method is mounted unless told otherwise.
const DefaultMountPath = "auth/azure"

// Options tune a Method.
type Options struct {
	MountPath string // with its auth/ prefix and without a slash at the end; default DefaultMountPath

	// ObjectID or ClientID, and not both, is the user-assigned managed identity to log in with. The default is the one the machine has.
	ObjectID string
	ClientID string

	// FromEnvironment has the token come from the first credential of azidentity's DefaultAzureCredential that gives one, instead of the machine's
	// managed identity. The machine need not be one of Azure's then.
	FromEnvironment bool
	Scope           string // of a token FromEnvironment; default: the resource's .default

	Metadata  string            // address of the instance metadata service; default http://169.254.169.254
	Transport http.RoundTripper // of requests to Entra ID, FromEnvironment; default: a transport of its own
}

// Method logs in at an Azure mount. It keeps nothing between logins, and its methods may be called from any goroutine.
type Method struct {
	role     string
	resource string
	opts     Options
	metadata *http.Client
}

// New makes the method; resource is the one that Vault's config of the mount names. An error says which options contradict each other.
func New(role, resource string, o Options) (*Method, error) {
	if o.ObjectID != "" && o.ClientID != "" {
		return nil, errors.New("auth method azure: object_id and client_id both name an identity; remove one of them")
	}
	if o.MountPath == "" {
		o.MountPath = DefaultMountPath
	}
	if o.Scope == "" {
		o.Scope = resource + "/.default" // with both slashes if the resource ends with one: the token's audience keeps its own
	}
	if o.Metadata == "" {
		o.Metadata = "http://169.254.169.254"
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{Proxy: cloud.Proxy, DisableKeepAlives: true}
	}
	return &Method{role: role, resource: resource, opts: o, metadata: metadataClient()}, nil
}

// Login obtains a token, says where it runs, and asks Vault once.
func (m *Method) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	token, where, err := m.identify(ctx)
	if err != nil {
		return nil, err
	}
	return c.Logical().WriteWithContext(ctx, m.opts.MountPath+"/login", map[string]any{
		"role":                m.role,
		"jwt":                 token,
		"vm_name":             where.Name,
		"vmss_name":           where.ScaleSet,
		"resource_group_name": where.ResourceGroup,
		"subscription_id":     where.Subscription,
	})
}

// Remedy says what to do about a refused login.
func (m *Method) Remedy(status int) string {
	switch status {
	case http.StatusBadRequest, http.StatusForbidden:
		return fmt.Sprintf("check that the role %q exists at %s and is bound to this identity, subscription and resource group, and that the mount's config has resource %q",
			m.role, m.opts.MountPath, m.resource)
	default:
		return fmt.Sprintf("check that an azure auth method is mounted at %s in this namespace", m.opts.MountPath)
	}
}

// identify returns a token and the machine it is used on. FromEnvironment, the machine may be anywhere (AUT-15), and all of instance is "" then.
func (m *Method) identify(ctx context.Context) (string, instance, error) {
	if m.opts.FromEnvironment {
		token, err := m.environmentToken(ctx)
		if err != nil {
			return "", instance{}, err
		}
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		where, _ := m.instance(ctx) // all "" with an error
		return token, where, nil
	}
	where, err := m.instance(ctx)
	if err != nil {
		return "", instance{}, err
	}
	token, err := m.managedToken(ctx)
	return token, where, err
}
