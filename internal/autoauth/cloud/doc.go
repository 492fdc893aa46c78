// Package cloud is what the auth methods of clouds have in common: one bounded request, no proxy on the way to a machine's metadata, and a look at the
// source of credentials now and then.
package cloud
