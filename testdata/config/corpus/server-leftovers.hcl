ui            = true
disable_mlock = true
api_addr      = "https://vault.example:8200"

storage "raft" {
  path    = "/opt/vault/data"
  node_id = "a"
}

seal "awskms" {
  region = "eu-central-1"
}

listener "tcp" {
  address         = "127.0.0.1:8100"
  cluster_address = "127.0.0.1:8101"
  tls_disable     = true
  telemetry {
    unauthenticated_metrics_access = true
  }
}
