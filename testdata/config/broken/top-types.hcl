pid_file        = 5
log_level       = true
log_format      = ["json"]
exit_after_auth = "yes"
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
