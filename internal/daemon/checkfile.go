package daemon

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"

	"leasehold/internal/config"
)

// pidFile looks at the place of the process id. One that is there is written over, and its directory may be somebody else's.
func (c *check) pidFile(path string) {
	at := c.at("pid_file", config.Pos{}, "")
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		c.directory(at, "the directory of pid_file", filepath.Dir(path))
	case !info.Mode().IsRegular():
		c.fail(at, "name a file, or one that is not there yet", "pid_file: %s is no regular file", path)
	default:
		c.writable(at, "pid_file", path)
	}
}

// logFile looks at the place of the log, which may be a device or a pipe.
func (c *check) logFile(path string) {
	at := c.at("log_file", config.Pos{}, "")
	info, err := os.Stat(path)
	switch {
	case err != nil:
		c.directory(at, "the directory of log_file", filepath.Dir(path))
	case info.IsDir():
		c.fail(at, "name a file in it", "log_file: %s is a directory", path)
	default:
		c.writable(at, "log_file", path)
		if why := writable(filepath.Dir(path)); why != nil && info.Mode().IsRegular() {
			c.warn(at, "let Leasehold write there, or have the file rotated by others", "log_file cannot be rotated: %s: %v", filepath.Dir(path), why)
		}
	}
}

func (c *check) writable(at config.Problem, key, path string) {
	if err := writable(path); err != nil {
		c.fail(at, "let Leasehold write it, or choose another", "%s: %s: %v", key, path, err)
	}
}

// socket looks at what a unix listener needs.
func (c *check) socket(path string, l config.Listener) {
	at := c.at(path+"address", l.Pos, "listener")
	c.directory(at, "the directory of the socket", filepath.Dir(l.Address))
	if info, err := os.Lstat(l.Address); err == nil && info.Mode().Type() != fs.ModeSocket {
		c.fail(at, "remove it, or choose another path", "%s is there and is no socket", l.Address)
	}
	c.owner(path+"socket_user", "socket_user", l.Pos, "listener", l.SocketUser)
	c.group(path+"socket_group", "socket_group", l.Pos, "listener", l.SocketGroup)
}

// owner looks for a user, and group for a group; on Windows neither means anything.
func (c *check) owner(path, key string, stanza config.Pos, name, account string) {
	if runtime.GOOS != "windows" && !exists(account, func(name string) error { _, err := user.Lookup(name); return err }) {
		c.fail(c.at(path, stanza, name), "add the user, or give a number", "%s: there is no user %q", key, account)
	}
}

func (c *check) group(path, key string, stanza config.Pos, name, account string) {
	if runtime.GOOS != "windows" && !exists(account, func(name string) error { _, err := user.LookupGroup(name); return err }) {
		c.fail(c.at(path, stanza, name), "add the group, or give a number", "%s: there is no group %q", key, account)
	}
}
