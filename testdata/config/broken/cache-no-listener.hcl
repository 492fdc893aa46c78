cache {}
