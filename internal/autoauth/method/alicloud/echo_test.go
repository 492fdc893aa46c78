package alicloud_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// refusing is a Vault that answers with an error of these words.
type refusing string

func (v refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := json.Marshal(map[string][]string{"errors": {string(v)}})
	return &http.Response{StatusCode: 500, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(body))), Request: r}, err
}

// Vault names the request that it could not make, or repeats what STS has answered: who reads that in time may log in with it.
func TestVaultsErrorsShowNoSignature(t *testing.T) {
	nowhere(t)
	for _, words := range []string{
		`error making upstream request: error making request: Post "https://sts.eu-central-1.aliyuncs.com/?AccessKeyId=k&SecurityToken=s3cr3t&Signature=s3cr3t": dial tcp: lookup failed`,
		`error making upstream request: received error from STS: {"Code":"SignatureDoesNotMatch","Message":"s3cr3t"}`,
		`error making upstream request: <Error><Message>s3cr3t</Message></Error>`,
	} {
		c := client(t, refusing(words))
		c.SetMaxRetries(0)
		_, err := open(t, keys()).Login(t.Context(), c)
		if err == nil || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), "error making upstream request") {
			t.Errorf("Login = %v, want Vault's words without the signature", err)
		}
	}
}
