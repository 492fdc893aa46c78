listener "unix" {
  tls_disable = true
  address     = "@proxy"
  socket_user = "app"
}
