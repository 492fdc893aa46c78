cache {
  static_secret_token_capability_refresh_behavior = "optimist"
  static_secret_token_capability_refresh_interval = "-5m"
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
