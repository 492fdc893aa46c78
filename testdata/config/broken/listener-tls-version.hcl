listener "tcp" {
  tls_cert_file = "cert.pem"
  tls_key_file  = "key.pem"
  tls_min_version = "1.2"
}
