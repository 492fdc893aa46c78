vault { address = "https://vault.example:8200" }

auto_auth {
  enable_reauth_on_new_credentials = true
  method "kubernetes" {
    config = { role = "app" }
  }
}

api_proxy {
  use_auto_auth_token = "force"
  enforce_consistency = "always"
  when_inconsistent   = "retry"
}

cache {
  persist "kubernetes" {
    path                       = "/vault/agent-cache"
    keep_after_import          = true
    exit_on_err                = true
    service_account_token_file = "/var/run/token"
  }
}

listener "tcp" {
  tls_disable = true
}
