// Package realvault is a real Vault in this process: unsealed, in memory, on a port of 127.0.0.1, with the engines that Leasehold's tests need.
//
// Vault is licensed BUSL-1.1. It is linked into tests and the demonstration only, never into the product; that is why
// test/e2e is a Go module of its own.
package realvault
