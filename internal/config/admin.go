package config

import "strings"

// adminSocket reads and checks admin_socket. Where it is without a word depends on the machine, and so on the daemon.
func (d *decoder) adminSocket(top section) string {
	const example = `write for example admin_socket = "/run/leasehold/admin.sock", or "off"`
	path := top.String("admin_socket")
	at := top.place("admin_socket")
	switch {
	case strings.EqualFold(path, "off"):
		return "off"
	case strings.HasPrefix(path, "@"):
		d.fail(Problem{at, "admin_socket", "an abstract socket has no mode: everybody on the machine could connect", example})
	case strings.Contains(path, "://"):
		d.fail(Problem{at, "admin_socket", "it must be a path, not a URL", example})
	case strings.ContainsRune(path, 0):
		d.fail(Problem{at, "admin_socket", "it must be a path", example})
	}
	return path
}
