# A sidecar: the application asks 127.0.0.1:8200 without a token. A Job ends it with POST /proxy/v1/quit.
# The two directories are emptyDirs; that of the state file with medium: Memory.
vault { address = "https://vault.vault.svc:8200" }

auto_auth {
  method "kubernetes" {
    config = { role = "web" }
  }
  sink "file" {
    config = { path = "/home/vault/.vault-token" }
  }
}

api_proxy { use_auto_auth_token = true }

cache {
  persist "kubernetes" {
    path              = "/vault/agent-cache"
    keep_after_import = true
  }
}

listener "tcp" {
  address     = "127.0.0.1:8200"
  tls_disable = true
  proxy_api { enable_quit = true }
}
