vault { address = "https://[2001:DB8:0::1]:8200" }

listener "tcp" {
  address                = "127.0.0.1:8100"
  tls_disable            = true
  require_request_header = true
}

listener "tcp" {
  address       = "0.0.0.0:8443"
  tls_cert_file = "/etc/pki/proxy.pem"
  tls_key_file  = "/etc/pki/proxy-key.pem"

  http_read_timeout = "1m"
  max_request_size  = 1048576
}

listener "tcp" {
  address     = "[::1]:8101"
  tls_disable = true
  role        = "metrics_only"
}
