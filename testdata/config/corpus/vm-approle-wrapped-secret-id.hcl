vault {
  address   = "https://192.0.2.10:8200"
  namespace = "ops"
}

auto_auth {
  method "approle" {
    namespace = "ops/apps"
    config = {
      role_id_file_path                = "/etc/vault.d/role-id"
      secret_id_file_path              = "/etc/vault.d/wrapped-secret-id"
      secret_id_response_wrapping_path = "auth/approle/role/app/secret-id"
    }
  }
  sink "file" {
    config = {
      path = "/run/vault/token"
      mode = "0640"
      owner = 1000
      group = "app"
    }
  }
}
