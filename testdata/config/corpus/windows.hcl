pid_file = "C:\\ProgramData\\vault\\pid"

listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
