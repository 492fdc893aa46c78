//go:build !windows

package secretfile

import (
	"io/fs"
	"os"
)

// OpenFile is os.OpenFile: perm says who may read the file.
func OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}
