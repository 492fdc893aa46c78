auto_auth {
  method "jwt" {
    config = {
      path            = "/run/jwt"
      jwt_read_period = "0s"
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
