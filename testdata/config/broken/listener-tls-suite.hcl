listener "tcp" {
  tls_cert_file = "cert.pem"
  tls_key_file  = "key.pem"
  tls_cipher_suites = "TLS_RSA_WITH_NOTHING"
}
