package link

import "syscall"

// reserve returns n bytes that are zero and that the garbage collector knows nothing of, nil when the system
// has none: then the heap will say so.
func reserve(n int) []byte {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	// Looking keys up goes all over the tables: by small pages the translation of the address misses its
	// cache as often as the key does. A kernel without huge pages ignores this.
	_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE)
	return b
}

func giveBack(b []byte) { _ = syscall.Munmap(b) }
