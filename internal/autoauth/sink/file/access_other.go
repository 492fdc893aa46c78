//go:build !unix

package file

import "io/fs"

// accessOf is what an existing file has, as far as it can be given to another one.
func accessOf(info fs.FileInfo) access {
	return access{mode: info.Mode().Perm(), uid: -1, gid: -1}
}
