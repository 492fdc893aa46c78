//go:build !no_gcp

package daemon

import (
	"errors"
	"time"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/gcp"
)

func init() { methods["gcp"] = newGCP }

func newGCP(p methodParts) (autoauth.Method, error) {
	s := p.Settings
	minutes := s.Int("jwt_exp")
	if minutes < 1 {
		return nil, errors.New("auth method gcp: jwt_exp is less than a minute; write a number of minutes such as 15")
	}
	m, err := gcp.New(s.String("type"), s.String("role"), gcp.Options{
		MountPath:      p.MountPath,
		ServiceAccount: s.String("service_account"),
		Credentials:    s.String("credentials"),
		Lifetime:       time.Duration(minutes) * time.Minute,
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}
