package realvault

import (
	kerberos "github.com/hashicorp/vault-plugin-auth-kerberos"
	"github.com/hashicorp/vault/builtin/credential/ldap"
)

func init() {
	authMethods["kerberos"] = kerberos.Factory
	authMethods["ldap"] = ldap.Factory
}
