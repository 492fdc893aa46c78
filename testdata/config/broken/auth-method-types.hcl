auto_auth {
  method "approle" {
    mount_path    = 5
    wrap_ttl      = "five"
    exit_on_err   = "perhaps"
    max_attempts  = -1
    total_timeout = "-1s"
    config        = "role-id"
  }
  sink "file" {
    config = {
      path = "token"
    }
  }
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
