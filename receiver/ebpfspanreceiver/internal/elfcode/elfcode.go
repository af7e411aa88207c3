// Package elfcode finds code in ELF files. Symbols and calls name it by its address, uprobes by its offset in the file:
// the two differ wherever the linker did not make them equal.
package elfcode

import "debug/elf"

// Segments are those segments of a file that are loaded and can be executed.
type Segments []elf.ProgHeader

// Of returns the segments of f.
func Of(f *elf.File) Segments {
	var all Segments
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
			all = append(all, p.ProgHeader)
		}
	}
	return all
}

// Find returns where in the file the byte at an address is, and how many bytes of its segment are there from it on: 0
// where the file has no code at that address.
func (s Segments) Find(address uint64) (offset, size uint64) {
	for i := range s {
		// Of an address below it the difference is large.
		if at := address - s[i].Vaddr; at < s[i].Filesz {
			return s[i].Off + at, s[i].Filesz - at
		}
	}
	return 0, 0
}
