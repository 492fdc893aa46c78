# A Nomad task beside the application. The identity block of the task has file = true; Nomad renews the file.
vault { address = "https://vault.example:8200" }

auto_auth {
  enable_reauth_on_new_credentials = true
  method "jwt" {
    mount_path = "auth/jwt-nomad"
    config = {
      path                     = "/secrets/nomad_vault_default.jwt"
      role                     = "nomad-workloads"
      remove_jwt_after_reading = false
    }
  }
}

api_proxy { use_auto_auth_token = true }

cache {}

listener "tcp" {
  address     = "127.0.0.1:8200"
  tls_disable = true
}
