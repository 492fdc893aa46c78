vault { address = "https://vault.example:8200" }

listener "tcp" {
  address           = "0.0.0.0:8443"
  tls_cert_file     = "/etc/pki/proxy.pem"
  tls_key_file      = "/etc/pki/proxy-key.pem"
  tls_min_version   = "tls12"
  tls_max_version   = "tls13"
  tls_cipher_suites = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"

  tls_require_and_verify_client_cert = true
  tls_client_ca_file                 = "/etc/pki/clients.pem"
}
