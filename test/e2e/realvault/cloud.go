package realvault

import aws "github.com/hashicorp/vault/builtin/credential/aws"

func init() { authMethods["aws"] = aws.Factory }
