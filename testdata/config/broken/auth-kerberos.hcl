auto_auth {
  method "kerberos" {
    config = {
      username = "app"
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
