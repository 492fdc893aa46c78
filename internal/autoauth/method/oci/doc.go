// Package oci logs in with a request that an API key or an instance of Oracle Cloud Infrastructure has signed.
package oci
