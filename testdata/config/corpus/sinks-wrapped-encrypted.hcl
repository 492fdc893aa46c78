auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = "/etc/vault.d/role-id"
      secret_id_file_path = "/etc/vault.d/secret-id"
    }
  }

  sinks {
    sink {
      type     = "file"
      wrap_ttl = "5m"
      config = { path = "/run/wrapped" }
    }
    sink "file" {
      wrap_ttl   = 300
      dh_type    = "curve25519"
      dh_path    = "/run/dh-pub.json"
      derive_key = true
      aad        = "app-1"
      config = { path = "/run/encrypted" }
    }
  }
}
