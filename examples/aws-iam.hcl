# EC2, ECS, EKS or Lambda: the credentials are those that every AWS program finds.
vault { address = "https://vault.example:8200" }

auto_auth {
  method "aws" {
    config = {
      type         = "iam"
      role         = "web"
      region       = "eu-central-1"
      header_value = "vault.example"
    }
  }
}

api_proxy { use_auto_auth_token = true }

cache {}

listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
