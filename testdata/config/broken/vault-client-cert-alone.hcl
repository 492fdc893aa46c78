vault {
  client_cert = "cert.pem"
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
