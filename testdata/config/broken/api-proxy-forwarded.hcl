api_proxy {
  x_forwarded_for = "on"
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
