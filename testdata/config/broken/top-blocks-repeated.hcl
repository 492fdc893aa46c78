vault {}
vault {}
cache {}
cache {}
api_proxy {}
api_proxy {}
telemetry {}
telemetry {}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
