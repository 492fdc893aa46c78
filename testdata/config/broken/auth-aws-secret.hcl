auto_auth {
  method "aws" {
    config = {
      type       = "iam"
      role       = "app"
      access_key = ["hunter2"]
      secret_key = 5
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
