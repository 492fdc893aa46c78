listener "tcp" {
  tls_disable = true
}

access_log {
  path    = "/var/log/leasehold/access-*.log"
  format  = "logfmt"
  exclude = ["sys/health", "kv//data", "/proxy/v1/*", "*/x", "%2e"]
}

access_log {
  path = ""
}
