package daemon

import (
	"fmt"
	"os"
	"strconv"
)

// writePID stores the process id and returns what removes the file again.
func writePID(path string) (remove func(), err error) {
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return nil, fmt.Errorf("pid_file: Error storing PID: %w; choose a path that Leasehold may write", err)
	}
	return func() { _ = os.Remove(path) }, nil
}
