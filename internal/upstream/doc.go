// Package upstream is the one way to Vault: one pool of connections, one retry layer, and requests that arrive as they were sent.
package upstream
