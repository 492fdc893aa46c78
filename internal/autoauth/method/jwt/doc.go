// Package jwt logs in with a JSON web token that is kept in a file.
package jwt
