api_proxy {
  use_auto_auth_token = true
}
