//go:build unix

package store

import (
	"io/fs"
	"syscall"
)

// occupied is the disk space of a file: Badger maps files that are mostly holes.
func occupied(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512 // st_blocks counts 512-byte units, stat(2)
	}
	return info.Size()
}
