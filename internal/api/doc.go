// Package api is what Leasehold's own endpoints say, as types, and a client that asks them. No type has a field for a token or a secret.
package api
