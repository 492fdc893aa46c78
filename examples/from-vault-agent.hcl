# A file of Vault Agent as it is, without its templates: start leasehold with the same -config. The state file of Vault Agent is not
# taken over; the first start logs in.
pid_file = "/run/leasehold/pid"

vault {
  address = "https://vault.example:8200"
  retry {
    num_retries = 5
  }
}

auto_auth {
  method {
    type       = "approle"
    mount_path = "auth/approle"
    config = {
      role_id_file_path                   = "/etc/vault.d/role-id"
      secret_id_file_path                 = "/etc/vault.d/secret-id"
      remove_secret_id_file_after_reading = false
    }
  }
  sink {
    type = "file"
    config = {
      path = "/run/leasehold/token"
      mode = 0640
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
