shutdown_timeout    = "10 minutes"
log_rotate_duration = "a day"
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
