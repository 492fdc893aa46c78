vault {
  address     = "https://vault.example:8200"
  ca_cert     = "/etc/pki/vault-ca.pem"
  client_cert = "/etc/pki/host.pem"
  client_key  = "/etc/pki/host-key.pem"
}

auto_auth {
  method "cert" {
    mount_path = "auth/cert"
    config = {
      name        = "hosts"
      ca_cert     = "/etc/pki/vault-ca.pem"
      client_cert = "/etc/pki/host.pem"
      client_key  = "/etc/pki/host-key.pem"
      reload      = true
      reload_period = "5m"
    }
  }
  sink "file" {
    config = { path = "/run/vault/token" }
  }
}
