package goruntime

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"sort"

	"golang.org/x/arch/x86/x86asm"
)

// With profile-guided optimisation (a default.pgo beside main.go is enough) the
// compiler can inline runtime.send and runtime.recv into their callers. Their
// last act is then still visible there:
//
//	systemstack(func() { ready(gp, traceskip, true) })   // from goready
//
// The closure is its own function, whose name has the path of inlining
// ("runtime.chanrecv.recv.goready.func2"), so the call of systemstack that is
// given this closure is the hand-over. The closure is {code, gp, traceskip}.
var inlinedClosure = regexp.MustCompile(`^(runtime\.\w+)\.(?:\w+\.)*?(send|recv)\.goready\.func\d+$`)

const (
	fnChansend, fnChanrecv, fnSelectgo = "runtime.chansend", "runtime.chanrecv", "runtime.selectgo"
	// closureGOffset is where gp is in goready's closure.
	closureGOffset = 8
)

// callers are the functions that call send and recv, or have them inlined.
var callers = []string{
	fnChansend, fnChanrecv, fnSelectgo, "runtime.chansend1", "runtime.chanrecv1",
	"runtime.chanrecv2", "runtime.selectnbsend", "runtime.selectnbrecv",
}

// inlinedSites returns the sites of inlined copies, and says which copies it could not find.
func (t *funcTable) inlinedSites(base uint64) (sites []Site, missing []Missing) {
	kinds := map[string]Kind{"send": ChanSend, "recv": ChanRecv}
	type place struct {
		outer string
		kind  Kind
	}
	covered := make(map[place]bool)
	systemstack := t.addresses(base, fnSystemstack)
	names := make([]string, 0, len(t.functions))
	for name := range t.functions {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		m := inlinedClosure.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		outer, kind := m[1], kinds[m[2]]
		for closure := range t.addresses(base, name) {
			found := false
			for _, b := range t.bodies(base, outer) {
				if at, ok := callWithClosure(t.im.arch, b, closure, systemstack); ok {
					s := Site{Kind: kind, Symbol: outer, Address: b.addr + at, GReg: "r14", WaiterInClosure: true}
					if t.im.arch == ARM64 {
						s.GReg, s.ClosureArg = "x28", 8 // the word at sp is the saved link register
					}
					s.Instruction = disassemble(t.im.arch, b.code[at:], s.Address)
					sites = append(sites, s)
					found = true
				}
			}
			if !found {
				missing = append(missing, Missing{kind, fmt.Sprintf("inlined in %s, where its call of systemstack was not found; hand-offs there are not seen", outer)})
			}
			covered[place{outer, kind}] = true
		}
	}
	for _, c := range []struct {
		place
		callee string
	}{{place{fnChansend, ChanSend}, fnSend}, {place{fnChanrecv, ChanRecv}, fnRecv}, {place{fnSelectgo, ChanSend}, fnSend}, {place{fnSelectgo, ChanRecv}, fnRecv}} {
		if covered[c.place] || len(t.functions[c.outer]) == 0 {
			continue // the linker drops selectgo from programs without select
		}
		targets, calls := t.addresses(base, c.callee), false
		for _, b := range t.bodies(base, c.outer) {
			calls = calls || callsAny(t.im.arch, b, targets)
		}
		if !calls {
			missing = append(missing, Missing{c.kind, fmt.Sprintf("%s neither calls %s nor has a known inlined copy; hand-offs there are not seen: build with -pgo=off", c.outer, c.callee)})
		}
	}
	return sites, missing
}

func callsAny(arch Arch, b body, targets map[uint64]bool) bool {
	for i := 0; i < len(b.code); {
		n, target, call := callAt(arch, b.code[i:], b.addr+uint64(i))
		if n == 0 {
			return false
		}
		if call && targets[target] {
			return true
		}
		i += n
	}
	return false
}

// callWithClosure returns the offset in b of the first call of one of targets
// after the closure's address was computed (amd64: lea n(%rip); arm64: adrp, add).
func callWithClosure(arch Arch, b body, closure uint64, targets map[uint64]bool) (uint64, bool) {
	taken := false
	for i := 0; i < len(b.code); {
		pc := b.addr + uint64(i)
		n, target, call := callAt(arch, b.code[i:], pc)
		if n == 0 {
			return 0, false
		}
		if taken && call && targets[target] {
			return uint64(i), true
		}
		if !call && codeAddress(arch, b.code[i:], pc) == closure {
			taken = true
		}
		i += n
	}
	return 0, false
}

// codeAddress returns the address that the instruction (amd64) or the pair (arm64) at code computes, or 0.
func codeAddress(arch Arch, code []byte, pc uint64) uint64 {
	if arch == ARM64 {
		if len(code) < 8 {
			return 0
		}
		a, b := binary.LittleEndian.Uint32(code), binary.LittleEndian.Uint32(code[4:])
		// ADRP Xd, page; ADD Xd, Xd, #imm12
		if a&0x9f000000 != 0x90000000 || b&0xffc00000 != 0x91000000 || a&31 != b&31 || a&31 != b>>5&31 {
			return 0
		}
		pages := int64(int32(a<<8)>>13)<<2 | int64(a>>29&3) // immhi is 19 bits, sign-extended
		return uint64(int64(pc&^0xfff)+pages<<12) + uint64(b>>10&0xfff)
	}
	in, err := x86asm.Decode(code, 64)
	if err != nil || in.Op != x86asm.LEA {
		return 0
	}
	m, ok := in.Args[1].(x86asm.Mem)
	if !ok || m.Base != x86asm.RIP {
		return 0
	}
	return pc + uint64(in.Len) + uint64(int64(int32(m.Disp)))
}
