// Package tokenfile takes the token from a file that someone else keeps good.
package tokenfile
