auto_auth {
  method "kerberos" {
    mount_path = "auth/kerberos"
    config = {
      username                 = "app"
      service                  = "HTTP/vault.example"
      realm                    = "EXAMPLE"
      keytab_path              = "/etc/app.keytab"
      krb5conf_path            = "/etc/krb5.conf"
      disable_fast_negotiation = true
    }
  }
  sink "file" { config = { path = "/run/vault/token" } }
}
