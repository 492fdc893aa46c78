package realvault

import (
	"github.com/hashicorp/vault-plugin-auth-jwt"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	"github.com/hashicorp/vault/builtin/credential/cert"
)

func init() {
	authMethods["jwt"], authMethods["kubernetes"], authMethods["cert"] = jwtauth.Factory, kubernetes.Factory, cert.Factory
}
