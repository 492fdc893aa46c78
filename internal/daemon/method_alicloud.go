//go:build !no_alicloud

package daemon

import (
	"context"
	"time"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/alicloud"
)

func init() { methods["alicloud"] = newAliCloud }

func newAliCloud(p methodParts) (autoauth.Method, error) {
	s := p.Settings
	return alicloud.Open(context.Background(), s.String("role"), s.String("region"), p.log, alicloud.Options{
		MountPath:    p.MountPath,
		PollInterval: s.Duration("credential_poll_interval"),
		Credentials: alicloud.Credentials{
			AccessKey:             s.String("access_key"),
			AccessSecret:          s.String("access_secret"),
			AccessToken:           s.String("access_token"),
			RoleARN:               s.String("role_arn"),
			RoleSessionName:       s.String("role_session_name"),
			RoleSessionExpiration: time.Duration(s.Int("role_session_expiration")) * time.Second,
			PublicKeyID:           s.String("public_key_id"),
			PrivateKey:            s.String("private_key"),
			SessionExpiration:     time.Duration(s.Int("session_expiration")) * time.Second,
			RoleName:              s.String("role_name"),
		},
	})
}
