telemetry {
  metrics_prefix  = 5
  disable_hostname = "perhaps"
  dogstatsd_tags  = 1
  prometheus_retention_time = "long"
  prefix_filter = ["vault.token"]
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
