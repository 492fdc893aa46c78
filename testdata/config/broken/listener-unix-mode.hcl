listener "unix" {
  tls_disable = true
  address     = "/run/proxy.sock"
  socket_mode = "rw"
}
