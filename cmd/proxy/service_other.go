//go:build !windows

package main

import (
	"errors"
	"io"
)

// runAsService is for Windows.
func runAsService() (code int, asService bool) { return 0, false }

// service runs `leasehold service`.
func service(args []string, stderr io.Writer) error {
	if _, err := parseService(args, stderr); err != nil {
		return err
	}
	return errors.New("service is for Windows; use the unit leasehold.service with systemd, or what starts services on this system")
}
