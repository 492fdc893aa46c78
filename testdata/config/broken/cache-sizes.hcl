cache {
  max_size       = "lots"
  max_entry_size = -1
  renew_at       = 1.5
  min_token_ttl  = "soon"
  max_entries    = "1e9"
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
