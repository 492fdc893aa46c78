// Package daemon is the list of Leasehold's parts in dependency order: it builds them, runs them, and stops them. It is the only room that knows
// all the others.
package daemon
