vault:
  address: https://vault.example:8200
