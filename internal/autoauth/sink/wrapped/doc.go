// Package wrapped is the sink that hands on a wrapping token in the place of the token, by Vault's response wrapping.
package wrapped
