// Package config turns one configuration file of Vault Proxy or Vault Agent, with flags and environment, into checked settings.
//
// It knows the whole language of the two daemons as tables of stanzas and keys, and says of every key it meets whether the key
// works, is ignored (a warning) or would silently change what the file promises (an error). All problems of a file are
// reported at once, in file order, each with its place and its remedy. Nothing here touches the network, and only [Load] reads a file.
package config
