pid_file = 5
log_level = "loud"
vualt {}
vault {
  adress = "https://vault.example"
  retry { num_retries = "many" }
  address = "vault.example:8200"
  Address = "https://vault.example:8200"
}
auto_auth {
  method "aprole" {
    min_backoff = "10m"
    config = { role_id_file = "x" }
  }
  sink "file" {
    config = { mode = 640 }
  }
  sink "file" {
    wrap_ttl = "5 apples"
    config = {
      path = "/run/token"
      mode = 400
    }
  }
}
cache {
  use_auto_auth_token = "yes"
  cache_static_secrets = true
  persist { path = "/state" }
}
cache {}
listener "unix" {
  address = "/run/proxy.sock"
  socket_mode = "0600"
}
listener "tcp" {
  address = "127.0.0.1"
  telemetry { unauthenticated_metrics_access = true }
}
telemetry {}
template { contents = "x" }
exec {}
storage "file" { path = "/x" }
