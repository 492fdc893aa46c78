vault {
  address = "ftp://admin:hunter2@vault.example"
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
