listener "tcp" {
  tls_disable = true
  address = "{{ GetNothing }}:8100"
}
