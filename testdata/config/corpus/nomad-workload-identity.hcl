vault {
  address = "https://vault.service.consul:8200"
}

auto_auth {
  method "jwt" {
    mount_path = "auth/jwt-nomad"
    config = {
      path                        = "/secrets/nomad_vault.jwt"
      role                        = "nomad-workloads"
      remove_jwt_after_reading    = false
      remove_jwt_follows_symlinks = false
      jwt_read_period             = "30s"
    }
  }
  sink "file" {
    config = {
      path = "/secrets/vault_token"
    }
  }
}

api_proxy {
  use_auto_auth_token = "force"
}

listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
