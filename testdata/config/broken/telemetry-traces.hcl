listener "tcp" {
  tls_disable = true
}

telemetry {
  traces {
    sample_ratio = "120%"
    trust_parents = true
  }
}
