listener "tcp" {
  tls_disable = true
  address = "127.0.0.1:99999"
}
