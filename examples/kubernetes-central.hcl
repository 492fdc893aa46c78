# One proxy for a cluster: clients bring their own tokens, nothing is lent to those without. Readiness and metrics have a port of their own.
vault {
  address = "https://vault.example:8200"
  ca_cert = "/etc/leasehold/vault-ca.pem"
}

cache { max_size = "1GiB" }

listener "tcp" {
  address                 = "0.0.0.0:8200"
  tls_cert_file           = "/etc/leasehold/tls/tls.crt"
  tls_key_file            = "/etc/leasehold/tls/tls.key"
  max_concurrent_requests = 8192
}

listener "tcp" {
  address     = "0.0.0.0:9100"
  tls_disable = true
  role        = "metrics_only"
}
