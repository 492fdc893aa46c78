package aws

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/google/uuid"
	"github.com/hashicorp/vault/api"
)

// EC2Options tune an EC2.
type EC2Options struct {
	MountPath string // with its auth/ prefix and without a slash at the end; default DefaultMountPath
	Nonce     string // by which Vault knows an instance again that has logged in before; default: a random UUID
}

// EC2 logs in with the identity document of the instance and AWS's signature of it.
type EC2 struct {
	role string
	o    EC2Options
}

// NewEC2 makes the method. The nonce is the same for all logins of one EC2.
func NewEC2(role string, o EC2Options) (*EC2, error) {
	if role == "" {
		return nil, errors.New("the AWS login has no role; set role to one of the roles of Vault's AWS auth method")
	}
	if o.MountPath == "" {
		o.MountPath = DefaultMountPath
	}
	if o.Nonce == "" {
		o.Nonce = uuid.NewString()
	}
	return &EC2{role: role, o: o}, nil
}

// Login reads the document and its signature from the instance metadata and sends both to Vault, once.
func (m *EC2) Login(ctx context.Context, c *api.Client) (*api.Secret, error) {
	document, signature, err := identity(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the identity of this EC2 instance: %w; check that this is one, and that its metadata service is on", reason(err))
	}
	return c.Logical().WriteWithContext(ctx, m.o.MountPath+"/login", map[string]any{
		"role":      m.role,
		"identity":  base64.StdEncoding.EncodeToString(document),
		"signature": signature,
		"nonce":     m.o.Nonce,
	})
}

func identity(ctx context.Context) (document []byte, signature string, err error) {
	ctx, cancel := context.WithTimeout(ctx, retrieval)
	defer cancel()
	cfg, err := load(ctx)
	if err != nil {
		return nil, "", err
	}
	metadata := imds.NewFromConfig(cfg)
	if document, err = dynamic(ctx, metadata, "document"); err != nil {
		return nil, "", err
	}
	if !json.Valid(document) {
		return nil, "", errors.New("the identity document is not JSON")
	}
	b, err := dynamic(ctx, metadata, "signature")
	if err != nil {
		return nil, "", err
	}
	if signature = strings.TrimSpace(string(b)); signature == "" {
		return nil, "", errors.New("the signature of the identity document is empty")
	}
	return document, signature, nil
}

func dynamic(ctx context.Context, metadata *imds.Client, name string) ([]byte, error) {
	out, err := metadata.GetDynamicData(ctx, &imds.GetDynamicDataInput{Path: "instance-identity/" + name})
	if err != nil {
		return nil, err
	}
	defer out.Content.Close()
	return io.ReadAll(out.Content)
}

// Remedy says what to do about a refused login. Vault answers 400 to an instance that the role does not bind or that has logged in with another nonce.
func (m *EC2) Remedy(status int) string {
	if status != http.StatusBadRequest && status != http.StatusForbidden {
		return mounted(m.o.MountPath)
	}
	return fmt.Sprintf("check that the role %q of %s binds this instance; when it has logged in before, set nonce to what it was then, or delete "+
		"the instance from Vault's identity-accesslist", m.role, m.o.MountPath)
}
