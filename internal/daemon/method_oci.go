//go:build !no_oci

package daemon

import (
	"os"

	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/oci"
)

func init() { methods["oci"] = newOCI }

func newOCI(p methodParts) (autoauth.Method, error) {
	var source oci.Source = oci.APIKey{}
	if p.Settings.String("type") == "instance" {
		source = oci.NewInstance(oci.InstanceOptions{
			Metadata: os.Getenv("OCI_METADATA_BASE_URL"), // as for Oracle's SDK
			Auth:     os.Getenv("OCI_SDK_AUTH_CLIENT_REGION_URL"),
		})
	}
	return oci.New(p.Settings.String("role"), source, oci.Options{
		MountPath:    p.MountPath,
		PollInterval: p.Settings.Duration("credential_poll_interval"),
	}), nil
}
