// Package vault holds Vault's words as types: tokens, accessors, lease ids, namespaces. It does no I/O and imports no other room.
package vault
