// Package ldap logs in with the name of an LDAP user and the password that is kept in a file.
package ldap
