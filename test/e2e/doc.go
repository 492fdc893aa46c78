// Package e2e shows on a real Vault what the built binary does. Its files are tests only.
//
// One Vault serves a whole run (see TestMain); a test that seals or interrupts Vault starts one of its own with startVault.
// The tests know the product as its users do: by its flags, configuration, answers and log. Only the list of its routes is imported,
// to compare it with api/openapi.yaml.
//
//	LEASEHOLD_BINARY=path     test this binary and build none
//	LEASEHOLD_E2E_TRACE=1     have every binary tell all it can, and search it for secrets (see tellAll)
//	LEASEHOLD_E2E_CHROMIUM=path  the browser for the status page, which must be there; without it, one that is found in PATH, if any
//	LEASEHOLD_E2E_SHOTS=dir   save there what the status page looks like
//	LEASEHOLD_E2E_RACE=1      build the binary with the race detector (needs cgo); a report of it fails the test
package e2e
