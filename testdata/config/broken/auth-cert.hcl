auto_auth {
  method "cert" {
    config = {
      reload        = "on"
      reload_period = "-1m"
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
