package listener

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// Inherited are the sockets that the service manager has bound and handed to this process (systemd's socket activation).
type Inherited struct{ sockets []inherited }

type inherited struct {
	net.Listener
	name string // FileDescriptorName
	used bool
}

// Inherit takes over what LISTEN_FDS announces to this process, and removes the variables so that no child takes it for its own. It returns nil when
// there is nothing. It is called once, before sockets are opened.
func Inherit() (*Inherited, error) {
	files := activation.Files(true)
	if len(files) == 0 {
		return nil, nil
	}
	in := &Inherited{}
	for _, f := range files {
		name := f.Name()
		ln, err := net.FileListener(f) // a descriptor of its own
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = in.Close()
			return nil, fmt.Errorf("listener: the inherited socket %q is no stream socket that listens: %w; use ListenStream= in the socket unit", name, err)
		}
		in.sockets = append(in.sockets, inherited{Listener: ln, name: name})
	}
	return in, nil
}

// take returns the socket for a listener, nil when there is none and it has to be opened.
func (in *Inherited) take(s Settings) (net.Listener, error) {
	if in != nil {
		for i := range in.sockets {
			one := &in.sockets[i]
			if !one.used && (s.SystemdSocket != "" && one.name == s.SystemdSocket || s.SystemdSocket == "" && one.at(s)) {
				if _, unix := one.Addr().(*net.UnixAddr); unix != s.Unix {
					return nil, fmt.Errorf("listener: the inherited socket %q is at %s; use listener %q", one.name, one.Addr(), one.Addr().Network())
				}
				one.used = true
				return one.Listener, nil
			}
		}
	}
	if s.SystemdSocket != "" {
		return nil, fmt.Errorf("listener: the service manager has handed over no socket named %q; start the socket unit, with FileDescriptorName=%s", s.SystemdSocket, s.SystemdSocket)
	}
	return nil, nil
}

// at reports whether the socket is bound to the address of a listener.
func (one *inherited) at(s Settings) bool {
	switch bound := one.Addr().(type) {
	case *net.UnixAddr:
		return s.Unix && filepath.Clean(bound.Name) == filepath.Clean(s.Address)
	case *net.TCPAddr:
		if s.Unix {
			return false
		}
		want, err := net.ResolveTCPAddr(network(s.Address), s.Address)
		if err != nil || want.Port != bound.Port {
			return false
		}
		return bound.IP.Equal(want.IP) || unspecified(bound.IP) && unspecified(want.IP) // ListenStream=8200 binds [::]
	}
	return false
}

func unspecified(ip net.IP) bool { return ip == nil || ip.IsUnspecified() }

// Unused returns the sockets that no listener has taken, each with its name, and "" when all were taken.
func (in *Inherited) Unused() string {
	if in == nil {
		return ""
	}
	var left []string
	for _, one := range in.sockets {
		if !one.used {
			left = append(left, one.name+" at "+one.Addr().String())
		}
	}
	return strings.Join(left, ", ")
}

// Close closes the sockets that no listener has taken.
func (in *Inherited) Close() error {
	if in == nil {
		return nil
	}
	var failed error
	for i := range in.sockets {
		if one := &in.sockets[i]; !one.used {
			one.used = true
			failed = errors.Join(failed, one.Listener.Close())
		}
	}
	return failed
}
