log_file             = "/var/log/*.log"
log_rotate_bytes     = "lots"
log_rotate_max_files = "all"
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
