// Package autoauth keeps one Vault token: it logs in, renews, logs in again when that ends, and hands the token to sinks.
package autoauth
