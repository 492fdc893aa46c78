auto_auth {
  method "alicloud" {
    config = {
      role                     = "app"
      session_expiration       = "long"
      credential_poll_interval = 0
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
