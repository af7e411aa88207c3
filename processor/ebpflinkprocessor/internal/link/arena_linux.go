package link

import (
	"syscall"
	"unsafe"
)

// hugePage is what the memory management of amd64 and, with pages of 4 KiB, of arm64 has beside small pages.
const hugePage = 2 << 20

// reserve returns n bytes that are zero and that the garbage collector knows nothing of, and how to give them
// back, nil when the system has none: then the heap will say so. Keys are hashes: nearly each look-up is in
// another page, and with small ones finding the page costs as much as what is in it.
func reserve(n int) (b []byte, giveBack func()) {
	all, err := syscall.Mmap(-1, 0, n+hugePage, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, nil
	}
	// What lies before and after is never touched, so there is no memory behind it.
	before := int(-uintptr(unsafe.Pointer(&all[0])) % hugePage)
	b = all[before : before+n]
	// Where there are no huge pages small ones do.
	_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE)
	return b, func() { _ = syscall.Munmap(all) }
}
