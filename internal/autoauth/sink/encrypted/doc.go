// Package encrypted is the sink that stores what only the holder of one private key can read: X25519, then AES-256-GCM, as Vault Agent's sinks do.
package encrypted
