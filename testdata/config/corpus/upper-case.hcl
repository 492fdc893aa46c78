PID_File = "/run/pid"

VAULT {
  Address = "https://vault.example:8200"
  Retry { NUM_RETRIES = -1 }
}

Listener "TCP" {
  Address     = "127.0.0.1:8100"
  TLS_Disable = "TRUE"
}
