pid_file = <<EOF
/run/pid
EOF

/* every form of comment */
// that HCL has
# stands here

listener "tcp" {
  address = "127.0.0.1:8080"
  tls_disable = true
}
