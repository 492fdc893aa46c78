# The form of Vault Agent before api_proxy existed.
pid_file        = "/home/vault/pidfile"
exit_after_auth = false

auto_auth {
  method "kubernetes" {
    mount_path = "auth/kubernetes"
    config = {
      role = "app"
    }
  }
}

cache {
  use_auto_auth_token = true
  persist = {
    type = "kubernetes"
    path = "/vault/agent-cache"
  }
}

listener "tcp" {
  address     = "127.0.0.1:8200"
  tls_disable = true
}
