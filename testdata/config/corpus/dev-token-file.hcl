auto_auth {
  method {
    type = "token_file"
    config {
      token_file_path = "/home/dev/.vault-token"
    }
  }
}

api_proxy { use_auto_auth_token = true }

listener "tcp" {
  address     = "localhost:8100"
  tls_disable = 1
}
