listener "tcp" {
  tls_disable = true
  max_request_duration = "-1s"
}
