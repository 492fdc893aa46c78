auto_auth {
  method "alicloud" {
    mount_path = "auth/alicloud"
    config = {
      role   = "ecs"
      region = "eu-central-1"
      credential_poll_interval = "2m"
    }
  }
  sink "file" { config = { path = "/run/vault/token" } }
}
