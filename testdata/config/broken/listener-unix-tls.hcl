listener "unix" {
  address = "/run/proxy.sock"
}
