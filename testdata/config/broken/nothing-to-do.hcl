pid_file = "/run/proxy.pid"
log_level = "info"
