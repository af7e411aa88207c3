package goruntime

import "fmt"

// tlsOffset finds the distance of g from the thread pointer in the functions
// that fetch or set it. The linker has resolved it there to a constant: it
// covers the executable's own thread-local block (psABI "TLS variant II" on
// amd64, variant I on arm64), C variables included. All accesses must agree
// and lie inside the block that PT_TLS describes.
func tlsOffset(im *image, bodies [][]op) (int64, error) {
	votes := make(map[int64]int)
	unresolved := 0
	for _, ops := range bodies {
		var known [32]bool
		var val [32]int64
		for _, o := range ops {
			switch o.kind {
			case opConst:
				known[o.dst&31], val[o.dst&31] = true, o.disp
			case opConstLow:
				val[o.dst&31] = val[o.dst&31]&^0xffff | o.disp
			case opTLSLoad, opTLSStore:
				off := o.disp
				switch {
				case o.base == noReg:
					votes[off]++
				case known[o.base&31]:
					votes[off+val[o.base&31]]++
				default:
					unresolved++
				}
				if o.dst != noReg {
					known[o.dst&31] = false
				}
			case opCall:
				known = [32]bool{}
			default:
				if o.dst != noReg {
					known[o.dst&31] = false
				}
			}
		}
	}
	if len(votes) == 0 {
		if unresolved > 0 {
			return 0, fmt.Errorf("the offset of g is chosen at load time (shared library or plugin): %d accesses through a register", unresolved)
		}
		return 0, fmt.Errorf("no access to thread-local g found in the runtime's assembly")
	}
	if len(votes) > 1 {
		return 0, fmt.Errorf("accesses to thread-local g disagree: offset to count %v", votes)
	}
	var off int64
	for o := range votes {
		off = o
	}
	if im.arch == AMD64 {
		low := int64(-8)
		for _, s := range im.segments {
			if s.kind == ptTLS {
				if s.memsz > 1<<20 || s.alignTo > 1<<16 {
					return 0, fmt.Errorf("%w: PT_TLS of %d bytes aligned to %d", ErrMalformed, s.memsz, s.alignTo)
				}
				low = -int64(alignUp(s.memsz, s.alignTo))
			}
		}
		if off < low || off > -8 || off%8 != 0 {
			return 0, fmt.Errorf("%w: g at thread pointer %+d, outside the thread-local block [%d, 0)", ErrMalformed, off, low)
		}
	}
	return off, nil
}

func alignUp(n, to uint64) uint64 {
	if to < 2 {
		return n
	}
	return (n + to - 1) / to * to
}
