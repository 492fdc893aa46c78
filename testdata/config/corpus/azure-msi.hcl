auto_auth {
  method "azure" {
    mount_path = "auth/azure"
    config = {
      role     = "vm"
      resource = "https://management.azure.com/"
      client_id = "00000000-0000-0000-0000-000000000000"
    }
  }
  sink "file" {
    config = { path = "/run/vault/token" }
  }
}
vault { address = "https://vault.example:8200" }
