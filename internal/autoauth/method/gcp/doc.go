// Package gcp logs in with a JWT that Google signs for a machine of Compute Engine or for a service account.
package gcp
