auto_auth {
  method "gcp" {
    mount_path = "auth/gcp"
    config = {
      type            = "gce"
      role            = "vm"
      service_account = "default"
    }
  }
  sink "file" { config = { path = "/run/vault/token" } }
}
