package realvault

import (
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/credential/userpass"
	"github.com/hashicorp/vault/sdk/logical"
)

// authMethods are the auth methods that can be mounted. Start mounts approle and userpass.
var authMethods = map[string]logical.Factory{"approle": approle.Factory, "userpass": userpass.Factory}
