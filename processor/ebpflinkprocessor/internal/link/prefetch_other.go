//go:build !amd64 && !arm64

package link

import "unsafe"

// prefetch does nothing: what is asked for early comes when it is needed.
func prefetch(unsafe.Pointer) {}
