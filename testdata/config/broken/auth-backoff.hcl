auto_auth {
  method "approle" {
    min_backoff = "10m"
    max_backoff = "1m"
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
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
