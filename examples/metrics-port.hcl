# Prometheus scrapes http://HOST:9100/proxy/v1/metrics; nothing but metrics, readyz and livez is served there.
vault { address = "https://vault.example:8200" }

cache {}

listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}

listener "tcp" {
  address     = "0.0.0.0:9100"
  tls_disable = true
  role        = "metrics_only"
}
