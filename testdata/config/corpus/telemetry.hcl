telemetry {
  metrics_prefix            = "proxy"
  disable_hostname          = true
  prometheus_retention_time = "30s"
  statsd_address            = "127.0.0.1:8125"
  prefix_filter             = ["+vault.token", "-vault.expire"]
}

listener "tcp" {
  tls_disable = true
}
