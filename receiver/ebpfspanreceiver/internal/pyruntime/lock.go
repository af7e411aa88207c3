package pyruntime

import (
	"debug/elf"
	"fmt"
)

// Runtime is the variable _PyRuntime of an interpreter, in which its lock is, with the condition variables at which
// threads wait for that: Include/internal/pycore_runtime.h, from 3.7 on.
type Runtime struct {
	// Offset is from where the file begins in memory, Size in bytes.
	Offset, Size uint64
}

// Lock finds the variable in an interpreter or its library. ErrNotPython: another file has it.
func Lock(path string) (Runtime, error) {
	f, err := elf.Open(path)
	if err != nil {
		return Runtime{}, fmt.Errorf("read %s: %w", path, err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return Runtime{}, fmt.Errorf("read the exported symbols of %s: %w", path, err)
	}
	for _, s := range symbols {
		if s.Name != "_PyRuntime" || s.Section == elf.SHN_UNDEF {
			continue
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_LOAD && p.Off == 0 && s.Value >= p.Vaddr && s.Size > 0 {
				return Runtime{Offset: s.Value - p.Vaddr, Size: s.Size}, nil
			}
		}
		return Runtime{}, fmt.Errorf("where %s begins in memory, or how long its _PyRuntime is, it does not say", path)
	}
	return Runtime{}, fmt.Errorf("%w: it does not export _PyRuntime", ErrNotPython)
}
