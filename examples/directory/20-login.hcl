auto_auth {
  method "kubernetes" {
    config = { role = "web" }
  }
}

api_proxy { use_auto_auth_token = true }
