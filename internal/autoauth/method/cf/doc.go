// Package cf logs in with the certificate that Cloud Foundry gives to every instance of an application.
package cf
