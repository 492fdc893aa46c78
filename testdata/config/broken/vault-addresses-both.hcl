vault {
  address   = "https://a.example:8200"
  addresses = ["https://b.example:8200", "https://b.example:8200", "c"]
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
