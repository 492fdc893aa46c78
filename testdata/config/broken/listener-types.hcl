listener "tcp" {
  tls_disable = true
  address                = 8100
  require_request_header = "x"
  http_read_timeout      = "slow"
  max_request_size       = "big"
  max_concurrent_requests = "few"
  proxy_api              = true
}
