package config

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

// reaches reports whether a client with this address arrives at the listener, as far as that can be told without asking DNS.
func (l Listener) reaches(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	if u.Scheme == "unix" || l.Type == "unix" {
		return u.Scheme == l.Type && filepath.Clean(u.Path) == filepath.Clean(l.Address)
	}
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil || port != cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]) {
		return false
	}
	client := strings.ToLower(u.Hostname())
	if strings.EqualFold(client, host) {
		return true
	}
	listens, none := netip.ParseAddr(host)
	everywhere := host == "" || none == nil && listens.IsUnspecified()
	ip, err := netip.ParseAddr(client)
	switch {
	case client == "localhost":
		return everywhere || none == nil && listens.IsLoopback()
	case err != nil:
		return false
	case everywhere:
		return (ip.IsLoopback() || ofThisMachine(ip)) && (!listens.Is4() || ip.Unmap().Is4())
	default:
		return host == "localhost" && ip.IsLoopback() || none == nil && listens.Unmap() == ip.Unmap()
	}
}

func ofThisMachine(ip netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range all {
		if one, err := netip.ParsePrefix(a.String()); err == nil && one.Addr().Unmap() == ip.Unmap() {
			return true
		}
	}
	return false
}
