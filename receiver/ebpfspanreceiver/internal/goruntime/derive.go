package goruntime

import "fmt"

// fromSystemstack reads g.m, m.g0 and m.curg from runtime.systemstack. It is
// assembly and does the same from Go 1.17 to 1.26 on both machines: g from
// thread-local storage (amd64) or x28 (arm64), m from g, then m.gsignal,
// m.g0 and m.curg, each read once and compared with g.
func fromSystemstack(arch Arch, ops []op) (m, g0, curg int64, err error) {
	g, mReg := noReg, noReg
	if arch == ARM64 {
		g = regGa64
	}
	var fields []int64
	for _, o := range ops {
		if mReg == noReg {
			switch {
			case o.kind == opTLSLoad:
				g = o.dst
				continue
			case o.kind == opLoad && o.base == g && g != noReg && o.dst != g:
				mReg, m = o.dst, o.disp
				continue
			}
			if o.dst == g && o.dst != noReg || o.kind == opCall {
				g = noReg
			}
			continue
		}
		if (o.kind == opLoad || o.kind == opCompare) && o.base == mReg {
			fields = append(fields, o.disp)
			if len(fields) == 3 {
				break
			}
			continue
		}
		if o.dst == mReg || o.kind == opCall || o.kind == opStore {
			break
		}
	}
	// gsignal is among the first fields, after g0 and before curg.
	if len(fields) != 3 || m <= 0 || fields[1] != 0 || fields[0] <= fields[1] || fields[2] <= fields[0] || fields[2] > 4096 || m > 1024 {
		return 0, 0, 0, fmt.Errorf("runtime.systemstack does not read g.m, m.gsignal, m.g0, m.curg in this order (g.m %d, then %v)", m, fields)
	}
	return m, fields[1], fields[2], nil
}

// copied is a value read from one offset and stored at another without change.
type copied struct{ from, to int64 }

// fromNewproc1 reads the offsets of goid and, from Go 1.21, parentGoid from
// runtime.newproc1, which does
//
//	newg.parentGoid = callergp.goid   // copies goid -> parentGoid
//	newg.goid = pp.goidcache          // copies goidcache -> goid
//	pp.goidcache++
//
// so goid is the one offset that is stored from a counter incremented in the
// same function and (from 1.21) also read to be stored elsewhere.
func fromNewproc1(arch Arch, ops []op, wantParent bool) (goid, parent int64, err error) {
	sp := regSPx86
	if arch == ARM64 {
		sp = regSPa64
	}
	type value struct {
		disp  int64
		known bool
		plus1 bool
	}
	var regs [32]value
	copies := make(map[copied]bool)
	counters := make(map[int64]bool)
	for _, o := range ops {
		switch o.kind {
		case opCall:
			regs = [32]value{}
		case opLoad:
			regs[o.dst&31] = value{o.disp, o.base != sp, false}
		case opMove:
			regs[o.dst&31] = regs[o.src&31]
		case opAddOne:
			v := value{}
			if o.src != noReg {
				v = regs[o.src&31]
			}
			v.known = v.known && !v.plus1
			v.plus1 = true
			regs[o.dst&31] = v
		case opInc:
			if o.base != sp {
				counters[o.disp] = true
			}
		case opStore:
			v := regs[o.src&31]
			if o.base == sp || !v.known {
				break
			}
			if v.plus1 {
				if v.disp == o.disp {
					counters[o.disp] = true
				}
			} else if v.disp != o.disp {
				copies[copied{v.disp, o.disp}] = true
			}
		default:
			if o.dst != noReg {
				regs[o.dst&31] = value{}
			}
		}
	}
	var found []copied
	for c := range copies {
		if !counters[c.from] || !plausible(c.to) {
			continue
		}
		if !wantParent {
			found = append(found, copied{c.to, 0})
			continue
		}
		for d := range copies {
			if d.from == c.to && plausible(d.to) && d.to > d.from {
				found = append(found, d)
			}
		}
	}
	if len(found) != 1 {
		return 0, 0, fmt.Errorf("runtime.newproc1 has %d stores that look like goid's, not one", len(found))
	}
	return found[0].from, found[0].to, nil
}

// plausible bounds a field of runtime.g after stack, panic, defer, m and sched (about 120 bytes), in a struct of about 450.
func plausible(off int64) bool { return off >= 64 && off <= 1024 && off%8 == 0 }
