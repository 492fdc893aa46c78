vault { address = "unix:///run/vault.sock" }

listener "unix" {
  address      = "/run/proxy.sock"
  socket_mode  = "0660"
  socket_user  = "0"
  socket_group = "0"
  tls_disable  = true

  proxy_api { enable_quit = true }
}
