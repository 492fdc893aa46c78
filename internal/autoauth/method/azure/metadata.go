package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"leasehold/internal/autoauth/cloud"
)

const (
	apiVersion   = "2018-02-01"     // of both answers of the metadata service
	timeout      = 30 * time.Second // the service may take that long to get a token
	probeTimeout = 2 * time.Second  // for a machine that may have no metadata service: packets to it vanish
	maxAnswer    = 1 << 20          // bytes
)

const notAzure = "run Leasehold on a machine of Azure, or set authenticate_from_environment = true"

// instance is what the metadata service knows of the machine; a name it does not have is "".
type instance struct {
	Name          string `json:"name"`
	ScaleSet      string `json:"vmScaleSetName"`
	ResourceGroup string `json:"resourceGroupName"`
	Subscription  string `json:"subscriptionId"`
}

// metadataClient goes straight to the machine's own address: a proxy could neither reach it nor should it see the token.
func metadataClient() *http.Client {
	return cloud.Straight(&http.Transport{DisableKeepAlives: true})
}

// instance asks which machine this is.
func (m *Method) instance(ctx context.Context) (instance, error) {
	var answer struct {
		Compute instance `json:"compute"`
	}
	_, err := m.get(ctx, "/metadata/instance", url.Values{}, &answer)
	if err == nil && answer.Compute == (instance{}) {
		err = errors.New("the answer names no machine")
	}
	if err != nil {
		return instance{}, fmt.Errorf("ask Azure's metadata service about this machine: %w; %s", err, notAzure)
	}
	return answer.Compute, nil
}

// managedToken asks for a token of the machine's managed identity.
func (m *Method) managedToken(ctx context.Context) (string, error) {
	query := url.Values{"resource": {m.resource}}
	for key, id := range map[string]string{"object_id": m.opts.ObjectID, "client_id": m.opts.ClientID} {
		if id != "" {
			query.Set(key, id)
		}
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	status, err := m.get(ctx, "/metadata/identity/oauth2/token", query, &answer)
	if err == nil && answer.Token == "" {
		err = errors.New("the answer has no token")
	}
	if err == nil {
		return answer.Token, nil
	}
	remedy := notAzure
	if status >= 400 && status < 500 {
		remedy = fmt.Sprintf("check that the machine has a managed identity (client_id or object_id says which, if it has several) and that resource %q exists", m.resource)
	}
	return "", fmt.Errorf("ask Azure's metadata service for a token: %w; %s", err, remedy)
}

// get asks the metadata service once and decodes its answer. Of an answer that is an error only the status is kept; it is 0 when there was none.
func (m *Method) get(ctx context.Context, path string, query url.Values, into any) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	query.Set("api-version", apiVersion)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.opts.Metadata+path+"?"+query.Encode(), nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Metadata", "true")
	answer, err := m.metadata.Do(r)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return 0, fmt.Errorf("no answer from %s: %w", m.opts.Metadata, failed.Err) // a url.Error would be taken for one about Vault's address
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return answer.StatusCode, fmt.Errorf("its answer is %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(into); err != nil {
		if ctx.Err() != nil {
			return answer.StatusCode, ctx.Err()
		}
		return answer.StatusCode, errors.New("its answer cannot be understood") // the decoder's error could show a piece of it
	}
	return answer.StatusCode, nil
}
