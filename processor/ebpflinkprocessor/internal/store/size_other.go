//go:build !unix

package store

import "io/fs"

func occupied(info fs.FileInfo) int64 { return info.Size() }
