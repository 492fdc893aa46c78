package listener

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// openUnix binds a unix socket. It gets its mode, user and group under a name that nobody else can reach, and only then the name that clients know.
func openUnix(ctx context.Context, s Settings) (*Socket, error) {
	if abstract(s.Address) {
		return openAbstract(ctx, s)
	}
	if longest := longestPath(); len(s.Address) > longest {
		return nil, fmt.Errorf("listener: the path %s has %d bytes, and %d is the most that a unix socket may have; choose a shorter one", s.Address, len(s.Address), longest)
	}
	if err := replaceable(ctx, s.Address); err != nil {
		return nil, err
	}
	private, err := os.MkdirTemp(filepath.Dir(s.Address), ".l") // 0700
	if err != nil {
		return nil, fmt.Errorf("listener: cannot listen on %s: %w; its directory must exist, and Leasehold must be allowed to write in it", s.Address, err)
	}
	defer func() { _ = os.RemoveAll(private) }() // an empty directory that nobody looks at
	hidden := filepath.Join(private, "s")
	if longest := longestPath(); len(hidden) > longest {
		return nil, fmt.Errorf("listener: the directory of %s has too long a name for a unix socket that is made in it; choose one of at most %d bytes",
			s.Address, longest-(len(hidden)-len(filepath.Dir(s.Address))))
	}
	var config net.ListenConfig
	ln, err := config.Listen(ctx, "unix", hidden)
	if err != nil {
		return nil, fmt.Errorf("listener: cannot listen on %s: %w; choose another path", s.Address, err)
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // it would look under the first name
	}
	info, err := s.settle(hidden)
	if err != nil {
		_ = ln.Close() // nothing was accepted on it
		return nil, err
	}
	return &Socket{Listener: ln, addr: &net.UnixAddr{Name: s.Address, Net: "unix"}, remove: func() { removeOwn(s.Address, info) }}, nil
}

// settle gives a socket its mode, user and group, and then its name.
func (s Settings) settle(hidden string) (os.FileInfo, error) {
	uid, gid, err := s.owner()
	if err != nil {
		return nil, err
	}
	if uid >= 0 || gid >= 0 {
		if err := os.Lchown(hidden, uid, gid); err != nil {
			return nil, fmt.Errorf("listener: cannot give %s to socket_user and socket_group: %w; run Leasehold as root, or as a member of the group", s.Address, bare(err))
		}
	}
	if s.SocketMode != 0 {
		if err := os.Chmod(hidden, s.SocketMode); err != nil {
			return nil, fmt.Errorf("listener: cannot give %s its socket_mode: %w; choose a path on another file system", s.Address, bare(err))
		}
	}
	if err := os.Rename(hidden, s.Address); err != nil {
		return nil, fmt.Errorf("listener: cannot listen on %s: %w; choose another path", s.Address, bare(err))
	}
	info, err := os.Lstat(s.Address)
	if err != nil {
		return nil, fmt.Errorf("listener: cannot listen on %s: %w; choose a directory where nobody else removes files", s.Address, bare(err))
	}
	return info, nil
}

// bare leaves out the paths of an error, which name what the user has never seen.
func bare(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

// owner returns -1 for what is not to change.
func (s Settings) owner() (uid, gid int, err error) {
	uid, gid = -1, -1
	if s.SocketUser != "" {
		if uid, err = number(s.SocketUser, func(name string) (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		}); err != nil {
			return -1, -1, fmt.Errorf("listener: there is no user %q of this machine for socket_user; name one, or give a number", s.SocketUser)
		}
	}
	if s.SocketGroup != "" {
		if gid, err = number(s.SocketGroup, func(name string) (string, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		}); err != nil {
			return -1, -1, fmt.Errorf("listener: there is no group %q of this machine for socket_group; name one, or give a number", s.SocketGroup)
		}
	}
	return uid, gid, nil
}

func number(name string, lookup func(string) (string, error)) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	id, err := lookup(name)
	if err != nil {
		return -1, err
	}
	return strconv.Atoi(id)
}

// replaceable tells whether a socket may get the path: nothing is there, or a socket that nobody listens on any more.
func replaceable(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listener: cannot listen on %s: %w; choose another path", path, bare(err))
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listener: %s is there and is no socket; remove it, or choose another path", path)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listener: %s is in use by another process; stop it or choose another path", path)
	}
	return nil
}

// removeOwn takes the file of a socket away, unless it is another's by now.
func removeOwn(path string, own os.FileInfo) {
	if now, err := os.Lstat(path); err == nil && os.SameFile(now, own) {
		_ = os.Remove(path) // one that stays is found stale by the next start
	}
}

// abstract reports whether the address is a name without a file, which Linux alone has.
func abstract(address string) bool { return runtime.GOOS == "linux" && strings.HasPrefix(address, "@") }

func openAbstract(ctx context.Context, s Settings) (*Socket, error) {
	var config net.ListenConfig
	ln, err := config.Listen(ctx, "unix", s.Address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listener: %s is in use by another process; stop it or choose another name", s.Address)
	}
	if err != nil {
		return nil, fmt.Errorf("listener: cannot listen on %s: %w; choose another name", s.Address, err)
	}
	return &Socket{Listener: ln, addr: ln.Addr(), remove: func() {}}, nil
}

// longestPath is how many bytes a path may have: sun_path without its final zero.
func longestPath() int {
	switch runtime.GOOS {
	case "linux", "windows":
		return 107
	default:
		return 103
	}
}
