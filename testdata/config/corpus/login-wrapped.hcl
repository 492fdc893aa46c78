auto_auth {
  method "aws" {
    wrap_ttl = "5m"
    config = {
      type = "iam"
      role = "dev"
    }
  }
  sink "file" {
    config = { path = "/run/wrapped" }
  }
}
