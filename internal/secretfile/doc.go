// Package secretfile opens files that nobody but this process's account may read.
package secretfile
