admin_socket = "unix:///run/leasehold/admin.sock"

listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
