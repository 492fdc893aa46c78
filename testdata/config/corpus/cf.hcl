auto_auth {
  method "pcf" {
    config = {
      role = "app"
    }
  }
  sink "file" { config = { path = "/home/vcap/token" } }
}
