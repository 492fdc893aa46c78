// Package vaulttest is a scripted Vault for tests: real handlers for tokens, leases and KV, a log of what arrived, and faults on demand.
//
// It exists for what cannot be had from a real Vault: a reply lost after success, a body that ends early, a node that hangs. Times
// follow time.Now, so in a testing/synctest bubble its leases and tokens age with the bubble's clock.
package vaulttest
