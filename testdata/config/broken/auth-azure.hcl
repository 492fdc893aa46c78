auto_auth {
  method "azure" {
    config = {
      role = ""
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
