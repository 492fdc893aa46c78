// Package telemetry counts what happens, under the names that Vault Proxy and Vault Agent have in users' dashboards and our own.
package telemetry
