package listener

import (
	"context"
	"net"
)

// Peer is the process at the other end of a unix socket, as the kernel knew it when it connected. A process that hands its connection on hands on
// its rights.
type Peer struct {
	UID    uint32
	Groups []uint32 // the primary group, and the supplementary ones: all on Linux, the first sixteen on macOS
}

type peerKey struct{}

// PeerOf returns who a request's connection belongs to, from the context of the request. ok is false when that is not known: on tcp, on systems that
// do not tell, and when the kernel refused.
func PeerOf(ctx context.Context) (p Peer, ok bool) {
	known, ok := ctx.Value(peerKey{}).(*Peer)
	if !ok {
		return Peer{}, false
	}
	return *known, true
}

// withPeer asks the kernel once for each connection.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	if inner, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = inner.NetConn()
	}
	local, ok := conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := local.SyscallConn()
	if err != nil {
		return ctx
	}
	var p *Peer
	if err := raw.Control(func(fd uintptr) { p, err = credentials(fd) }); err != nil {
		return ctx
	}
	if err != nil { // not even a part of what is not known for sure: a rule may deny by it
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, p)
}
