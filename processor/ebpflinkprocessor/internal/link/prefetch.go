//go:build amd64 || arm64

package link

import "unsafe"

// prefetch begins to bring the cache line of p near. It waits for nothing and changes nothing.
//
//go:noescape
func prefetch(p unsafe.Pointer)
