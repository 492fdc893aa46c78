// Package router speaks HTTP to clients: it guards, tells Leasehold's own endpoints from Vault's, chooses the token that a request carries, and turns
// errors into answers.
package router
