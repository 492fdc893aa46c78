vualt {
  address = "https://vault.example:8200"
}
listner "tcp" {
  tls_disable = true
}
