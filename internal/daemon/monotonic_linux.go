package daemon

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonic is when a reload begins, which a unit with Type=notify-reload waits for.
func monotonic() []string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return nil
	}
	return []string{fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000)}
}
