cache {
  persist "env" {
    path    = "/state"
    key_env = "hunter2 hunter2"
  }
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
