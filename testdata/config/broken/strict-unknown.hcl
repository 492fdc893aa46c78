vualt {
  address = "https://vault.example:8200"
}

vault {
  adress = "https://vault.example:8200"
  retry {
    retries = 5
  }
}

listener "tcp" {
  tls_disable      = true
  tls_cert_fil     = "cert.pem"
  completely_other = "x"
}
