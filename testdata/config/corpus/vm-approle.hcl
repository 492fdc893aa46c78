pid_file = "/run/vault-proxy/pid"

vault {
  address = "https://vault.example:8200"
  ca_cert = "/etc/vault.d/ca.pem"
  retry {
    num_retries = 5
  }
}

auto_auth {
  method {
    type       = "approle"
    mount_path = "auth/approle/"

    config = {
      role_id_file_path                   = "/etc/vault.d/role-id"
      secret_id_file_path                 = "/etc/vault.d/secret-id"
      remove_secret_id_file_after_reading = false
    }
  }

  sink {
    type = "file"
    config = {
      path = "/run/vault-proxy/token"
      mode = 0600
    }
  }
}

api_proxy {
  use_auto_auth_token = true
}

cache {}

listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
