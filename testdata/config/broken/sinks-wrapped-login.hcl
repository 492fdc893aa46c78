auto_auth {
  method "approle" {
    wrap_ttl = "5m"
    config = {
      role_id_file_path = "role-id"
    }
  }
  sink "file" {
    config = {
      path = "token"
    }
  }
  sink "file" {
    config = {
      path = "other"
    }
  }
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
