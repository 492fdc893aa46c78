log_level            = "DEBUG"
log_format           = "json"
log_file             = "/var/log/vault/proxy.log"
log_rotate_bytes     = 1048576
log_rotate_duration  = "7d"
log_rotate_max_files = 5

listener "tcp" {
  tls_disable = true
}
