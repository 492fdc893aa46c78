vault { address = "https://vault.example:8200" }

auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = "/etc/vault.d/role-id"
      secret_id_file_path = "/etc/vault.d/secret-id"
    }
  }
  sink "file" { config = { path = "/run/vault/token" } }
}

template_config {
  exit_on_retry_failure         = true
  static_secret_render_interval = "10m"
}

template {
  destination = "/etc/app/db.env"
  perms       = 0400
  contents    = <<EOT
{{ with secret "database/creds/app" }}
USER={{ .Data.username }}
{{ end }}
EOT
}
