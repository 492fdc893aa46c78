// Package credfile reads a credential from a file that others replace, and remembers the last good one.
package credfile
