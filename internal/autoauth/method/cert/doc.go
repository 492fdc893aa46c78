// Package cert logs in with a TLS client certificate.
package cert
