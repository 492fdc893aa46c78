listener "tcp" {
  tls_disable = true
  agent_api {
    enable_quit = "please"
  }
}
