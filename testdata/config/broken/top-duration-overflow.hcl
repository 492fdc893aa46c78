shutdown_timeout = "9999999999d"
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
