auto_auth {
  method "kubernetes" {
    mount_path = "auth/kubernetes"
    config = { role = "app" }
  }
}
cache {
  use_auto_auth_token = true
  persist "kubernetes" { path = "/vault/agent-cache" }
}
listener "tcp" {
  address     = "127.0.0.1:8200"
  tls_disable = true
}
template_config {
  exit_on_retry_failure         = true
  static_secret_render_interval = "10m"
}
template {
  contents    = "{{ with secret \"kv/data/app\" }}{{ .Data.data.key }}{{ end }}"
  destination = "/run/app.env"
  perms       = 0400
  command     = "pkill -HUP app || true"
}
