# One process, two applications, two roles: each port lends the token of its own login.
vault { address = "https://vault.example:8200" }

auto_auth "payments" {
  method "approle" {
    config = {
      role_id_file_path   = "/etc/leasehold/payments-role-id"
      secret_id_file_path = "/etc/leasehold/payments-secret-id"
    }
  }
}

auto_auth "reports" {
  method "approle" {
    config = {
      role_id_file_path   = "/etc/leasehold/reports-role-id"
      secret_id_file_path = "/etc/leasehold/reports-secret-id"
    }
  }
}

api_proxy { use_auto_auth_token = true }

cache {}

listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
  auto_auth   = "payments"
}

listener "tcp" {
  address     = "127.0.0.1:8101"
  tls_disable = true
  auto_auth   = "reports"
}
