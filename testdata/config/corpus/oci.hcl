auto_auth {
  method "oci" {
    mount_path = "auth/oci"
    config = {
      type = "instance"
      role = "vm"
    }
  }
  sink "file" { config = { path = "/run/vault/token" } }
}
