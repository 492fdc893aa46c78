package listener

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func credentials(fd uintptr) (*Peer, error) {
	cred, err := unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return nil, fmt.Errorf("ask who connected: %w", err)
	}
	n := min(max(int(cred.Ngroups), 0), len(cred.Groups))
	return &Peer{UID: cred.Uid, Groups: append([]uint32(nil), cred.Groups[:n]...)}, nil
}
