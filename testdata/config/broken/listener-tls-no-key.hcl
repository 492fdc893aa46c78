listener "tcp" {
  tls_cert_file = "cert.pem"
}
