auto_auth {
  method "ldap" {
    mount_path = "auth/ldap"
    config = {
      username                      = "svc-app"
      password_file_path            = "/run/creds/password"
      remove_password_after_reading = "false"
    }
  }
  sink "file" {
    config = { path = "/run/vault/token" }
  }
}
vault { address = "https://vault.example:8200" }
