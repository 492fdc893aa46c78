//go:build !no_aws

package daemon

import (
	"context"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/aws"
)

func init() { methods["aws"] = newAWS }

func newAWS(p methodParts) (autoauth.Method, error) {
	s := p.Settings
	if s.String("type") == "ec2" {
		return aws.NewEC2(s.String("role"), aws.EC2Options{MountPath: p.MountPath, Nonce: s.String("nonce")})
	}
	return aws.OpenIAM(context.Background(), s.String("role"), p.log, aws.IAMOptions{
		MountPath:    p.MountPath,
		Region:       s.String("region"),
		ServerID:     s.String("header_value"),
		AccessKey:    s.String("access_key"),
		SecretKey:    s.String("secret_key"),
		SessionToken: s.String("session_token"),
		PollInterval: s.Duration("credential_poll_interval"),
	})
}
