auto_auth {
  method "token_file" {
    config = {
      token_file_path = ""
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
