auto_auth {
  method "gcp" {
    config = {
      type    = "gke"
      jwt_exp = "soon"
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
