//go:build !no_kerberos

package daemon

import (
	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/kerberos"
)

func init() { methods["kerberos"] = newKerberos }

func newKerberos(p methodParts) (autoauth.Method, error) {
	who := kerberos.Principal{
		Username: p.Settings.String("username"),
		Realm:    p.Settings.String("realm"),
		Keytab:   p.Settings.String("keytab_path"),
	}
	return kerberos.New(who, p.Settings.String("service"), p.Settings.String("krb5conf_path"), kerberos.Options{
		MountPath:   p.MountPath,
		DisableFAST: p.Settings.Bool("disable_fast_negotiation"),
	}), nil
}
