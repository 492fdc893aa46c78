disable_keep_alives      = ["auto_auth"]
disable_idle_connections = [1]
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
