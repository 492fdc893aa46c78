package router

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// crossOrigin is the standard library's judgement: by Sec-Fetch-Site, or by Origin where a browser sends no such header.
var crossOrigin http.CrossOriginProtection

const (
	textSite = "a page of another site may not ask this of Leasehold"
	textHost = "this is not asked under a name from outside, which may be another site's; use the address or localhost, or give the listener TLS"
)

// private wraps what looks inside or changes something. Clients that are no browsers notice nothing of it, unless they call their own machine by
// a foreign name; that counts where named is set.
func (rt *router) private(named bool, next http.HandlerFunc) http.HandlerFunc {
	return rt.guarded(func(w http.ResponseWriter, r *http.Request) {
		why := ""
		switch {
		case foreign(r):
			why = textSite
		case named && renamed(r):
			why = textHost
		default:
			next(w, r)
			return
		}
		rt.refuse(w, r, refusedSite, why)
		rt.fail(w, r, answer{http.StatusForbidden, why})
	})
}

// foreign tells whether a browser sends r in the name of another site's page. What only reads counts as well: the answer tells which paths are used.
func foreign(r *http.Request) bool {
	asked := r.WithContext(r.Context())
	asked.Method = http.MethodPost // of what the standard library calls safe it looks at nothing
	return crossOrigin.Check(asked) != nil
}

// renamed tells whether r came from this machine, to whichever of its addresses, under a name that another site can give it (DNS rebinding): its page is
// then of the same origin for the browser, and no other header tells. A certificate has no such name, and what is open to other machines has names that
// are not known here.
func renamed(r *http.Request) bool {
	if r.TLS != nil {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host) != nil {
		return false
	}
	switch local := r.Context().Value(http.LocalAddrContextKey).(type) {
	case *net.TCPAddr:
		return local.IP.IsLoopback() || isPeer(local, r.RemoteAddr)
	case *net.UnixAddr: // behind ssh -L a browser may be there. Clients write any word here, but no site has a name without a dot
		return strings.Contains(host, ".")
	}
	return false
}

// isPeer tells whether remote is of the same address as local: a machine that calls an address of its own does so from that address.
func isPeer(local *net.TCPAddr, remote string) bool {
	peer, err := netip.ParseAddrPort(remote)
	return err == nil && peer.Addr().Unmap().WithZone("") == local.AddrPort().Addr().Unmap().WithZone("")
}
