api_proxy {
  enforce_consistency = "alway"
  when_inconsistent   = "wait"
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
