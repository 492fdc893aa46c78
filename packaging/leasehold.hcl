# The configuration of leasehold.service. It forwards requests to Vault and keeps leases; clients bring their own tokens.
# Setups to begin with are in /usr/share/doc/leasehold/examples, every key is in /usr/share/doc/leasehold/configuration.md.
# This file needs no secrets: credentials come from files that it names, or from systemd.

vault {
  address = "https://127.0.0.1:8200"
}

cache {}

listener "tcp" {
  address     = "127.0.0.1:8100"
  tls_disable = true # no other machine can connect to it
}
