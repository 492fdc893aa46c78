# The kernel says who connects: users of this machine that may, and what they may do.
vault { address = "https://vault.example:8200" }

auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = "/etc/leasehold/role-id"
      secret_id_file_path = "/etc/leasehold/secret-id"
    }
  }
}

api_proxy { use_auto_auth_token = true }

cache {}

listener "unix" {
  address        = "/run/leasehold/web.sock"
  socket_mode    = "0666"
  tls_disable    = true
  allow_users    = ["www-data"]
  default_action = "deny"

  rule {
    path    = "database/creds/web"
    methods = ["GET"]
    action  = "allow"
  }
}
