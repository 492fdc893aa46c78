package router

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Caller is who sends a request, as far as the connection tells.
type Caller struct {
	HasIDs bool     // UID and Groups are known: the connection is a unix socket's
	UID    uint32   //
	Groups []uint32 // the primary group among them

	NoGroups bool // Groups are not known although HasIDs; only of a caller in a Question

	Cert *x509.Certificate // the client certificate, once it is verified; else nil
}

// Callers are criteria. Who is in Users or Groups passes, if there are any of these; who has a name of CNs or SANs, if there are any of those. Both
// kinds count where both are given.
type Callers struct {
	Users, Groups []uint32
	CNs           []string // common names of client certificates
	SANs          []string // DNS names, exact or with a leading "*." for one label; e-mail addresses, URIs and IP addresses, exact
}

func (c *Callers) isZero() bool {
	return len(c.Users)+len(c.Groups)+len(c.CNs)+len(c.SANs) == 0
}

type callers struct {
	Callers
	ids, certs bool // what the criteria ask for
	groups     bool // likewise; among ids
	ips        []net.IP
}

func (c Callers) compile() callers {
	all := callers{Callers: c, ids: len(c.Users)+len(c.Groups) > 0, certs: len(c.CNs)+len(c.SANs) > 0, groups: len(c.Groups) > 0}
	for _, san := range c.SANs {
		if ip := net.ParseIP(san); ip != nil {
			all.ips = append(all.ips, ip)
		}
	}
	return all
}

// callerOf asks the connection. What is not known is empty.
func (rt *router) callerOf(r *http.Request) Caller {
	var c Caller
	if rt.Peer != nil {
		c.UID, c.Groups, c.HasIDs = rt.Peer(r.Context())
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && len(r.TLS.VerifiedChains[0]) > 0 {
		c.Cert = r.TLS.VerifiedChains[0][0]
	}
	return c
}

// known tells whether the criteria can be applied. What is not known must not slip past a rule that denies.
func (c Caller) known(asked callers) bool {
	return (!asked.ids || c.HasIDs) && (!asked.certs || c.Cert != nil)
}

func (c *callers) match(who Caller) bool {
	if c.ids && !slices.Contains(c.Users, who.UID) && !slices.ContainsFunc(who.Groups, func(g uint32) bool { return slices.Contains(c.Groups, g) }) {
		return false
	}
	return !c.certs || slices.Contains(c.CNs, who.Cert.Subject.CommonName) || c.named(who.Cert)
}

// named tells whether an alternative name of the certificate is among SANs.
func (c *callers) named(cert *x509.Certificate) bool {
	for _, ip := range cert.IPAddresses {
		if slices.ContainsFunc(c.ips, ip.Equal) {
			return true
		}
	}
	for _, san := range c.SANs {
		for _, name := range cert.DNSNames {
			if isHost(san, name) {
				return true
			}
		}
		if slices.Contains(cert.EmailAddresses, san) {
			return true
		}
		for _, uri := range cert.URIs {
			if uri.String() == san {
				return true
			}
		}
	}
	return false
}

// isHost compares DNS names, in which case means nothing.
func isHost(want, name string) bool {
	if below, ok := strings.CutPrefix(want, "*."); ok {
		var label string
		if label, name, ok = strings.Cut(name, "."); !ok || label == "" {
			return false
		}
		want = below
	}
	return strings.EqualFold(want, name)
}

// peerOf is what Parts.Peer is.
type peerOf = func(context.Context) (uid uint32, groups []uint32, ok bool)
