//go:build !no_kubernetes

package daemon

import (
	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/kubernetes"
)

func init() { methods["kubernetes"] = newKubernetes }

func newKubernetes(p methodParts) (autoauth.Method, error) {
	return kubernetes.New(p.Settings.String("role"), p.log, kubernetes.Options{
		MountPath: p.MountPath,
		TokenFile: p.Settings.String("token_path"),
	}), nil
}
