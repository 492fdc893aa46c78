// Package approle logs in with a role ID and a secret ID, or the wrapping token of one, that are kept in files.
package approle
