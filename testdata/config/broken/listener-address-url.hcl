listener "tcp" {
  tls_disable = true
  address = "http://127.0.0.1:8100"
}
