vault {
  retry {
    num_retries = 99999999999999999999
  }
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
