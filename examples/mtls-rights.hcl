# Other machines connect with certificates of one CA, and their names say who may.
vault { address = "https://vault.example:8200" }

cache {}

listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/etc/leasehold/tls.pem"
  tls_key_file  = "/etc/leasehold/tls-key.pem"

  tls_require_and_verify_client_cert = true
  tls_client_ca_file                 = "/etc/leasehold/clients-ca.pem"
  allow_client_cn                    = ["web-1.example", "web-2.example"]
}
