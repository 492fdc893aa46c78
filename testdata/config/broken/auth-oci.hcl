auto_auth {
  method "oci" {
    config = {
      type = "key"
      role = "app"
    }
  }
  sink "file" {
    config = {
      path = "token"
    }
  }
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
