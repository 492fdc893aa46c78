// Package listener opens the sockets that clients connect to and serves HTTP on them until it is asked to stop.
package listener
