auto_auth {
  method "approle" {
    config = {
      role_id_file_path = "role-id"
    }
  }
  sink "file" {
    config = {
      path = "token"
    }
  }
}
log_level = "loud"
