disable_idle_connections = ["auto-auth", "caching", "templating", ""]
disable_keep_alives      = ["proxying"]

listener "tcp" {
  tls_disable = true
}
