listener "tcp" {
  tls_disable = true
  role = "metrics"
}
