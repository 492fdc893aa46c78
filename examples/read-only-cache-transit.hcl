# The state file's key never lies on this machine: Vault's transit engine wraps it. Only what is read is kept: dynamic credentials of
# these mounts. Everything else passes.
vault { address = "https://vault.example:8200" }

auto_auth {
  method "cert" {
    config = {
      name        = "web"
      client_cert = "/etc/leasehold/host.pem"
      client_key  = "/etc/leasehold/host-key.pem"
    }
  }
}

api_proxy { use_auto_auth_token = true }

cache {
  rule "database/creds/*" { cache = true }
  rule "aws/creds/*" { cache = true }
  rule "*" { cache = false }

  persist "transit" {
    path        = "/var/lib/leasehold"
    transit_key = "leasehold"
  }
}

listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
