cache {
  disable_caching_dynamic_secrets = true
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
