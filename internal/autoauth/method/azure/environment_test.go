package azure_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"leasehold/internal/autoauth/method/azure"
)

// entra stands in for Entra ID: it knows where its endpoints are, and answers there with token.
type entra struct {
	token page
	asked url.Values // the last request for a token
}

func (e *entra) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	const tenant = "https://login.microsoftonline.com/tenant-1"
	switch {
	case strings.HasSuffix(r.URL.Path, "/discovery/instance"):
		return answer(r, 200, `{"tenant_discovery_endpoint":"`+tenant+`/v2.0/.well-known/openid-configuration","api-version":"1.1","metadata":[]}`), nil
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		return answer(r, 200, `{"token_endpoint":"`+tenant+`/oauth2/v2.0/token","authorization_endpoint":"`+tenant+`/oauth2/v2.0/authorize","issuer":"`+tenant+`/v2.0"}`), nil
	case r.URL.String() == tenant+"/oauth2/v2.0/token":
		if err := r.ParseForm(); err != nil {
			return nil, err
		}
		e.asked = r.PostForm
		return answer(r, e.token.status, e.token.body), nil
	}
	return answer(r, http.StatusNotFound, ""), nil
}

// environment is that of an application with a secret.
func environment(t *testing.T) {
	t.Helper()
	for _, kv := range [][2]string{
		{"AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential"},
		{"AZURE_TENANT_ID", "tenant-1"}, {"AZURE_CLIENT_ID", "client-1"}, {"AZURE_CLIENT_SECRET", "hush-1"},
		{"AZURE_AUTHORITY_HOST", ""}, {"AZURE_CLIENT_CERTIFICATE_PATH", ""},
	} {
		t.Setenv(kv[0], kv[1])
	}
}

const anEntraToken = `{"token_type":"Bearer","expires_in":3599,"access_token":"e30.ZW52.c2ln"}`

func TestFromEnvironment(t *testing.T) {
	environment(t)
	onAzure, _ := metadata(t, page{200, aMachine}, page{500, ""})
	broken, _ := metadata(t, page{200, `{"compute":{"name":"half`}, page{500, ""})
	machine := map[string]string{"vm_name": "vm-1", "vmss_name": "set-1", "resource_group_name": "group-1", "subscription_id": "sub-1"}
	nowhere := map[string]string{"vm_name": "", "vmss_name": "", "resource_group_name": "", "subscription_id": ""}
	for name, tc := range map[string]struct {
		metadata, scope, wantScope string
		where                      map[string]string
	}{
		"on a machine of Azure":    {onAzure, "", resource + "/.default", machine},
		"with a scope of its own":  {onAzure, "api://vault/.default", "api://vault/.default", machine},
		"elsewhere":                {gone(), "", resource + "/.default", nowhere},
		"with half a machine told": {broken, "", resource + "/.default", nowhere},
	} {
		t.Run(name, func(t *testing.T) {
			e, v := &entra{token: page{200, anEntraToken}}, &recorder{}
			m := method(t, azure.Options{FromEnvironment: true, Scope: tc.scope, Metadata: tc.metadata, Transport: e})
			if _, err := m.Login(t.Context(), client(t, v)); err != nil {
				t.Fatal(err)
			}
			tc.where["role"], tc.where["jwt"] = "web", "e30.ZW52.c2ln"
			if !same(v.body, tc.where) {
				t.Errorf("sent %v, want %v", v.body, tc.where)
			}
			if e.asked.Get("client_id") != "client-1" || e.asked.Get("client_secret") != "hush-1" || !strings.Contains(" "+e.asked.Get("scope")+" ", " "+tc.wantScope+" ") {
				t.Errorf("asked Entra ID for %v", e.asked)
			}
		})
	}
}

func TestEnvironmentWithoutToken(t *testing.T) {
	for name, tc := range map[string]struct {
		token page
		set   [2]string
		says  string
	}{
		"refused":            {token: page{401, `{"error":"invalid_client","error_description":"hush-2"}`}, says: "the answer of Entra ID is 401 Unauthorized"},
		"down":               {token: page{503, "hush-2"}, says: "the answer of Entra ID is 503"},
		"malformed":          {token: page{200, "hush-2"}, says: "none of the credentials"},
		"empty":              {token: page{200, ""}, says: "none of the credentials"},
		"no secret":          {set: [2]string{"AZURE_CLIENT_SECRET", ""}, says: "none of the credentials"},
		"unknown credential": {set: [2]string{"AZURE_TOKEN_CREDENTIALS", "Nonsense"}, says: "AZURE_TOKEN_CREDENTIALS"},
	} {
		t.Run(name, func(t *testing.T) {
			environment(t)
			if tc.set[0] != "" {
				t.Setenv(tc.set[0], tc.set[1])
			}
			v := &recorder{}
			_, err := method(t, azure.Options{FromEnvironment: true, Metadata: gone(), Transport: &entra{token: tc.token}}).Login(t.Context(), client(t, v))
			if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "; ") || strings.Contains(err.Error(), "hush") {
				t.Errorf("Login = %v, want %q, a remedy, and no secret", err, tc.says)
			}
			if v.path != "" {
				t.Errorf("asked Vault for all that: %s", v.path)
			}
		})
	}
}

func TestCancelledEnvironment(t *testing.T) {
	environment(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := method(t, azure.Options{FromEnvironment: true, Metadata: gone(), Transport: &entra{token: page{200, anEntraToken}}}).Login(ctx, client(t, &recorder{}))
	if err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("Login = %v", err)
	}
}
