package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"leasehold/internal/autoauth/cloud"
)

const defaultAccount = "default" // the metadata service's name for the account the machine runs as

// metadata is the metadata service of a machine, where no proxy can go.
type metadata struct {
	address string
	client  *http.Client
}

func newMetadata(address string) metadata {
	if address == "" {
		address = "http://metadata"
		if host := os.Getenv("GCE_METADATA_HOST"); host != "" {
			address = "http://" + host
		}
	}
	return metadata{address: address, client: cloud.Straight(&http.Transport{DisableKeepAlives: true})}
}

// get asks for something of a service account of the machine.
func (m metadata) get(ctx context.Context, account, what string) ([]byte, error) {
	address := m.address + "/computeMetadata/v1/instance/service-accounts/" + url.PathEscape(account) + "/" + what
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Metadata-Flavor", "Google")
	return cloud.Send(m.client, r)
}

// accessToken is a token of the machine's own account for Google's APIs.
func (m metadata) accessToken(ctx context.Context) (string, error) {
	body, err := m.get(ctx, defaultAccount, "token")
	if err != nil {
		return "", err
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Token == "" {
		return "", errors.New("the metadata service's answer is no token")
	}
	return answer.Token, nil
}

// email is who the machine's own account is.
func (m metadata) email(ctx context.Context) (string, error) {
	body, err := m.get(ctx, defaultAccount, "email")
	return strings.TrimSpace(string(body)), err
}

// machine gets identity tokens for a machine.
type machine struct {
	metadata metadata
	role     string
	account  string // "": the default
}

func (m machine) token(ctx context.Context, vault string) (string, error) {
	account := m.account
	if account == "" {
		account = defaultAccount
	}
	query := url.Values{"audience": {vault + "/vault/" + m.role}, "format": {"full"}}
	body, err := m.metadata.get(ctx, account, "identity?"+query.Encode())
	token := strings.TrimSpace(string(body))
	if err == nil && !isJWT(token) {
		err = errors.New("its answer is no JWT")
	}
	if err == nil {
		return token, nil
	}
	remedy := "run Leasehold on a machine of Google Cloud, or set type to " + IAM
	if answered, ok := errors.AsType[*cloud.StatusError](err); ok && answered.Status == http.StatusNotFound {
		remedy = fmt.Sprintf("give the machine the service account %q, or correct service_account", account)
	}
	return "", fmt.Errorf("ask Google's metadata service for an identity token: %w; %s", err, remedy)
}
