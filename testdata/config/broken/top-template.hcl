listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true
}
template {
  contents    = "x"
  destination = "/run/x"
}
env_template "A" {
  contents = "x"
}
exec {
  command = ["app"]
}
