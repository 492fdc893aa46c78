// Package load asks servers as fast as they answer and tells how fast that was.
package load
