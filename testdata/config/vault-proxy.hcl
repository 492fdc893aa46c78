pid_file = "./pidfile"
vault {
  address = "https://vault.example:8200"
  retry { num_retries = 5 }
}
auto_auth {
  method "approle" {
    config = {
      role_id_file_path = "roleid"
      secret_id_file_path = "secretid"
    }
  }
  sink "file" {
    config = {
      path = "/run/token"
      mode = 0600
    }
  }
  sink "file" {
    wrap_ttl    = "5m"
    dh_type     = "curve25519"
    dh_path     = "/run/pub.json"
    derive_key  = true
    aad_env_var = "TOKEN_AAD"
    config = { path = "/run/token.enc" }
  }
}
api_proxy {
  use_auto_auth_token = "force"
  enforce_consistency = "always"
  when_inconsistent   = "retry"
}
cache {}
listener "unix" {
  address     = "/run/proxy.sock"
  tls_disable = true
  proxy_api { enable_quit = true }
}
listener "tcp" {
  address     = "127.0.0.1:3000"
  tls_disable = true
  role        = "metrics_only"
}
