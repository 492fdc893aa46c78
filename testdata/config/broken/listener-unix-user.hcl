listener "unix" {
  tls_disable = true
  address     = "/run/proxy.sock"
  socket_user = "no-such-user-here"
}
