// Package approle logs in with a role ID and a secret ID that are kept in files.
package approle
