# `vault server -dev` and your own token. Without any file, `leasehold` does much the same.
vault { address = "http://127.0.0.1:8200" }

auto_auth {
  method "token_file" {
    config = { token_file_path = "/home/me/.vault-token" }
  }
}

api_proxy { use_auto_auth_token = true }

cache {}

listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
