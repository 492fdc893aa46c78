auto_auth {
  method "approle" {
    config = {
      secret_id_response_wrapping_path = ""
      remove_secret_id_file_after_reading = "never"
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
