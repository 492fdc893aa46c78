// Package cache answers requests: from what is kept when it can, from Vault when it must, and then decides what to keep.
package cache
