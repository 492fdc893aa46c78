telemetry {
  statsd_address     = "127.0.0.1"
  circonus_api_token = "abc"
  otlp {
    endpoint = "http://reader:hush@collector.example:4318"
    protocol = "thrift"
    headers  = { Authorization = 5 }
    interval = 0
  }
}

listener "tcp" {
  tls_disable = true
}
