//go:build !linux && !darwin

package listener

import "errors"

func credentials(uintptr) (*Peer, error) { return nil, errors.ErrUnsupported }
