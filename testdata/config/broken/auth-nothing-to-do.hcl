auto_auth {
  method "approle" {
    config = {
      role_id_file_path = "role-id"
    }
  }
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
