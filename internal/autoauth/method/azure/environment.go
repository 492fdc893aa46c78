package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

const environmentRemedy = "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or what another credential of Azure's default chain needs"

// environmentToken asks the credentials of Azure's default chain, one after the other. They are made anew each time, for the environment can
// name files that others replace. Retrying is left to the caller.
func (m *Method) environmentToken(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	chain, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: m.opts.Transport},
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}})
	if err != nil {
		return "", fmt.Errorf("make Azure's default credential: %w; correct AZURE_TOKEN_CREDENTIALS", err)
	}
	token, err := chain.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{m.opts.Scope}})
	if err == nil && token.Token == "" {
		err = errors.New("the answer has no token")
	}
	if err != nil {
		return "", fmt.Errorf("get a token for %s from the environment: %w; %s", m.opts.Scope, cause(ctx, err), environmentRemedy)
	}
	return token.Token, nil
}

// cause is what of azidentity's error can be shown: its text quotes answers, and the output of commands.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && failed.RawResponse != nil {
		status := failed.RawResponse.StatusCode
		return fmt.Errorf("the answer of Entra ID is %d %s", status, http.StatusText(status))
	}
	return errors.New("none of the credentials gave one")
}
