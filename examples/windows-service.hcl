# For a Windows service. Paths are absolute: a service begins in System32.
vault {
  address = "https://vault.example:8200"
  ca_cert = "C:\\ProgramData\\leasehold\\vault-ca.pem"
}

log_file = "C:\\ProgramData\\leasehold\\leasehold.log"

auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = "C:\\ProgramData\\leasehold\\role-id"
      secret_id_file_path = "C:\\ProgramData\\leasehold\\secret-id"
    }
  }
}

api_proxy { use_auto_auth_token = true }

cache {}

listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
