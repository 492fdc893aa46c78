// Package kerberos logs in with a ticket that the KDC gives for the key in a keytab.
package kerberos
