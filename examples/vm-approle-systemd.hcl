# A machine with an AppRole. systemd hands the credentials over, see packaging/systemd/credentials.conf; they are read-only, so they stay.
vault {
  address = "https://vault.example:8200"
  ca_cert = "/etc/leasehold/vault-ca.pem"
}

auto_auth {
  method "approle" {
    config = {
      role_id_file_path                   = "/run/credentials/leasehold.service/role-id"
      secret_id_file_path                 = "/run/credentials/leasehold.service/secret-id"
      remove_secret_id_file_after_reading = false
    }
  }
}

api_proxy { use_auto_auth_token = true }

cache {
  persist "systemd" { path = "/var/lib/leasehold" }
}

listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
