telemetry {
  statsd_adress = "127.0.0.1:8125"
  pid_file = 1
}
vault {
  retry = 5
}
listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
