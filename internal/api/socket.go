package api

import (
	"path/filepath"
	"runtime"
	"strings"
)

// SocketOff is the value of admin_socket for none.
const SocketOff = "off"

// Sockets are the paths where the admin socket may be when nothing says where it is, the first choice first. getenv is [os.Getenv]. A daemon takes the first;
// who looks for a daemon tries each, since a shell has not the environment that systemd gives a service.
func Sockets(getenv func(string) string) (all []string) {
	if runtime.GOOS == "windows" { // whose temporary directories do not keep others out
		return nil
	}
	if own, _, _ := strings.Cut(getenv("RUNTIME_DIRECTORY"), ":"); own != "" { // of RuntimeDirectory=, which may name several
		all = append(all, filepath.Join(own, "admin.sock"))
	}
	if user := getenv("XDG_RUNTIME_DIR"); user != "" && !foreign(user) {
		all = append(all, filepath.Join(user, "leasehold", "admin.sock"))
	}
	return append(all, "/run/leasehold/admin.sock")
}
