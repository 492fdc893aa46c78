//go:build !no_azure

package daemon

import (
	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/azure"
)

func init() { methods["azure"] = newAzure }

func newAzure(p methodParts) (autoauth.Method, error) {
	s := p.Settings
	m, err := azure.New(s.String("role"), s.String("resource"), azure.Options{
		MountPath:       p.MountPath,
		ObjectID:        s.String("object_id"),
		ClientID:        s.String("client_id"),
		FromEnvironment: s.Bool("authenticate_from_environment"),
		Scope:           s.String("scope"),
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}
