package link

import (
	"testing"
	"unsafe"
)

// TestPrefetchIsHarmless: what is brought near need not be there.
func TestPrefetchIsHarmless(*testing.T) {
	prefetch(nil)
	prefetch(unsafe.Pointer(&[1]byte{}))
	var none Table[sides]
	none.Ahead(1)
}
