auto_auth {
  method "gcp" {
    config {
      type            = "iam"
      role            = "ci"
      service_account = "ci@project.iam.gserviceaccount.com"
      project         = "project"
      jwt_exp         = 30
    }
  }
  sink "file" { config { path = "/run/vault/token" } }
}
