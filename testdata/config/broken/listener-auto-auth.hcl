auto_auth {
  method "approle" {
    config = {
      role_id_file_path = "role-id"
    }
  }
  sink "file" {
    config = {
      path = "token"
    }
  }
}
api_proxy {
  use_auto_auth_token = true
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
listener "tcp" {
  tls_disable = true
  address   = "127.0.0.1:8101"
  auto_auth = "payments"
}
