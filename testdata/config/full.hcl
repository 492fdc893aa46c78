# Every key that works, each with a value that is not its default.
pid_file         = "/run/leasehold.pid"
log_level        = "debug"
log_format       = "json"
exit_after_auth  = true
shutdown_timeout = "25s"

vault {
  address         = "https://[2001:DB8:0::1]:8200/base"
  ca_cert         = "/etc/vault/ca.pem"
  ca_path         = "/etc/vault/ca.d"
  client_cert     = "/etc/vault/client.pem"
  client_key      = "/etc/vault/client.key"
  tls_server_name = "vault.example"
  tls_skip_verify = true
  namespace       = "team"

  health_check_interval = "3s"
  pass_redirects        = true
  redirect_hosts        = ["vault-0.internal:8200", "*.vault.internal"]

  retry {
    num_retries     = 5
    safe_only       = true
    max_wait        = "4s"
    max_replay_size = "1MiB"
  }
}

auto_auth {
  enable_reauth_on_new_credentials = true

  method "approle" {
    mount_path  = "auth/apps/"
    namespace   = "/team/a"
    min_backoff = "2s"
    max_backoff = 90
    exit_on_err = true

    config = {
      role_id_file_path                   = "/etc/leasehold/role-id"
      secret_id_file_path                 = "/etc/leasehold/secret-id"
      remove_secret_id_file_after_reading = false
    }
  }

  sink "file" {
    config = {
      path  = "/run/leasehold/token"
      mode  = 0600
      owner = "app"
      group = 1000
    }
  }
}

api_proxy {
  use_auto_auth_token          = "force"
  prepend_configured_namespace = true
  enforce_consistency          = "always"
  when_inconsistent            = "forward"
  x_forwarded_for              = "append"
}

cache {
  report_remaining_ttl = false
  max_entry_size       = "512KiB"

  persist "kubernetes" {
    path                       = "/vault/agent-cache"
    keep_after_import          = true
    exit_on_err                = true
    service_account_token_file = "/var/run/token"
  }
}

listener "tcp" {
  address                  = "[::0]:8100"
  tls_cert_file            = "/etc/leasehold/tls.pem"
  tls_key_file             = "/etc/leasehold/tls.key"
  require_request_header   = true
  http_read_header_timeout = "5s"
  http_read_timeout        = "1m"
  http_write_timeout       = "2m"
  http_idle_timeout        = "3m"
  max_request_size         = 1048576
  max_header_size          = "64KiB"
  max_concurrent_requests  = 100

  proxy_api {
    enable_quit = true
  }
}

listener "tcp" {
  address     = "127.0.0.1:9100"
  tls_disable = true
  role        = "metrics_only"
}
