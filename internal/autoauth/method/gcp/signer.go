package gcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"leasehold/internal/autoauth/cloud"
)

// signer has the IAM Credentials API sign JWTs for a service account.
type signer struct {
	metadata metadata
	role     string
	opts     Options
}

func (s *signer) token(ctx context.Context, _ string) (string, error) {
	creds, err := s.credentials()
	if err != nil {
		return "", err
	}
	account, err := s.account(ctx, creds)
	if err != nil {
		return "", err
	}
	access, err := creds.token(ctx)
	if err != nil {
		return "", fmt.Errorf("get an access token with %s: %w; %s", creds.from, err, creds.remedy)
	}
	token, err := s.sign(ctx, account, access)
	if err == nil {
		return token, nil
	}
	remedy := "check that the machine can reach " + s.opts.IAM
	if answered, ok := errors.AsType[*cloud.StatusError](err); ok && answered.Status < 500 {
		remedy = fmt.Sprintf("check that the account exists, that its project has the IAM Credentials API enabled, and that %s may do iam.serviceAccounts.signJwt", creds.from)
	}
	return "", fmt.Errorf("have a JWT signed for %s: %w; %s", account, err, remedy)
}

// account is who the JWT is for. Other implementations take an account of this name when none is configured (AUT-16); there is no such account.
func (s *signer) account(ctx context.Context, creds credentials) (string, error) {
	if a := s.opts.ServiceAccount; a != "" && a != defaultAccount {
		return a, nil
	}
	a, err := creds.account(ctx)
	switch {
	case err != nil:
		return "", fmt.Errorf("find the service account of %s: %w; %s", creds.from, err, creds.remedy)
	case a == "":
		return "", fmt.Errorf("%s are not those of a service account; set service_account to the e-mail address of the account to log in as", creds.from)
	}
	return a, nil
}

// sign asks for one JWT.
func (s *signer) sign(ctx context.Context, account, access string) (string, error) {
	claims, err := json.Marshal(map[string]any{
		"aud": "http://vault/" + s.role,
		"sub": account,
		"exp": s.opts.Now().Add(s.opts.Lifetime).Unix(),
	})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]string{"payload": string(claims)})
	if err != nil {
		return "", err
	}
	address := s.opts.IAM + "/v1/projects/-/serviceAccounts/" + url.PathEscape(account) + ":signJwt"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+access)
	answer, err := cloud.Send(cloud.Straight(s.opts.Transport), r)
	if err != nil {
		return "", err
	}
	var signed struct {
		JWT string `json:"signedJwt"`
	}
	if json.Unmarshal(answer, &signed) != nil || !isJWT(signed.JWT) {
		return "", fmt.Errorf("the answer of %s is no JWT", r.URL.Host)
	}
	return signed.JWT, nil
}
