package listener

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

func credentials(fd uintptr) (*Peer, error) {
	cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return nil, fmt.Errorf("ask who connected: %w", err)
	}
	groups, err := peerGroups(fd)
	if err != nil {
		return nil, fmt.Errorf("ask for the groups of who connected: %w", err)
	}
	return &Peer{UID: cred.Uid, Groups: append(groups, cred.Gid)}, nil
}

// peerGroups asks for the supplementary groups, which Linux tells since 4.13. The kernel says how many there are when the buffer is too small.
func peerGroups(fd uintptr) ([]uint32, error) {
	groups := make([]uint32, 32)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case !errors.Is(errno, unix.ERANGE) || size <= uint32(len(groups)*4):
			return nil, errno
		}
		groups = make([]uint32, size/4)
	}
}
