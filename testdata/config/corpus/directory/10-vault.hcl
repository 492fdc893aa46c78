vault {
  address = "https://vault.example:8200"
}
log_level = "warn"
