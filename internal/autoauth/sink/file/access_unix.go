//go:build unix

package file

import (
	"io/fs"
	"syscall"
)

// accessOf is what an existing file has.
func accessOf(info fs.FileInfo) access {
	a := access{mode: info.Mode().Perm(), uid: -1, gid: -1}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		a.uid, a.gid = int(st.Uid), int(st.Gid)
	}
	return a
}
