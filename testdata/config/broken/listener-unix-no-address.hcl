listener "unix" {
  tls_disable = true
}
