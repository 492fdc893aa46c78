auto_auth {
  method "aws" {
    mount_path  = "auth/aws"
    max_backoff = "2m"
    config = {
      type         = "iam"
      role         = "dev-role-iam"
      region       = "eu-central-1"
      header_value = "vault.example"
    }
  }

  sink "file" {
    config = {
      path = "/tmp/file-foo"
    }
  }
}

vault {
  address = "http://127.0.0.1:8200"
}
