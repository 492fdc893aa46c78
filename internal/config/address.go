package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// normalizeAddress rewrites an IP literal in an address to the form of RFC 5952 and leaves everything else as it is: host names,
// IPv4, and what it cannot parse. It knows host, [host], host:port, user@host:port and URLs. Brackets are for IPv6 only (CFG-7).
func normalizeAddress(address string) string {
	scheme, rest := "", address
	if before, after, ok := strings.Cut(address, "://"); ok {
		scheme, rest = before+"://", after
	}
	end := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = i
	}
	start := strings.LastIndexByte(rest[:end], '@') + 1
	return scheme + rest[:start] + normalizeHost(rest[start:end], scheme != "") + rest[end:]
}

// normalizeHost does so for host or host:port. In a URL an IPv6 address without brackets is not an address.
func normalizeHost(hostport string, inURL bool) string {
	if ip, err := netip.ParseAddr(hostport); err == nil {
		if inURL || ip.Is4() {
			return hostport
		}
		return ip.String()
	}
	host, port := hostport, ""
	if inner, ok := strings.CutPrefix(hostport, "["); ok {
		inner, after, _ := strings.Cut(inner, "]")
		host, port = inner, after
	} else if i := strings.LastIndexByte(hostport, ':'); i >= 0 && !inURL {
		host, port = hostport[:i], hostport[i:]
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Is4() || port != "" && port[0] != ':' {
		return hostport
	}
	return "[" + ip.String() + "]" + port
}

// listenable reports whether the address is host:port with a port that exists. The host may be empty or a name.
func listenable(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// reachable reports whether Vault's client can dial the address: http or https with a host, or a unix socket with a path.
func reachable(address string) bool {
	scheme, rest, _ := strings.Cut(address, "://")
	switch strings.ToLower(scheme) {
	case "http", "https":
		return rest != "" && !strings.ContainsAny(rest[:1], "/?#:")
	case "unix":
		return strings.HasPrefix(rest, "/")
	default:
		return false
	}
}
