//go:build !no_cf

package daemon

import (
	"os"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/cf"
)

func init() { methods["cf"] = newCF }

func newCF(p methodParts) (autoauth.Method, error) {
	m, err := cf.New(p.Settings.String("role"), os.Getenv("CF_INSTANCE_CERT"), os.Getenv("CF_INSTANCE_KEY"), p.log, cf.Options{MountPath: p.MountPath})
	if err != nil {
		return nil, err
	}
	return m, nil
}
