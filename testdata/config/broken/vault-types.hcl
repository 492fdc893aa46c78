vault {
  address         = ["https://vault.example:8200"]
  ca_cert         = true
  tls_skip_verify = "no"
  namespace       = {}
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
