package pyruntime

import (
	"bytes"

	"golang.org/x/arch/x86/x86asm"
)

const (
	// maxInstructions bounds a walk: what is walked here has some 200.
	maxInstructions = 4096
	// maxLead is how far from its beginning a function is looked at for a place.
	maxLead = 16
)

var endbr64 = []byte{0xf3, 0x0f, 0x1e, 0xfa}

// decode decodes the instruction at an address.
func (im *image) decode(at uint64) (in x86asm.Inst, ok bool) {
	b, p := im.at(at)
	if p == nil || !p.code {
		return in, false
	}
	if bytes.HasPrefix(b, endbr64) {
		return x86asm.Inst{Op: x86asm.NOP, Len: len(endbr64)}, true // Opcode 0 tells it from others
	}
	// Of a call with prefixes that pad it (to __tls_get_addr) the decoder takes the operand for 16 bits.
	for n := 0; n < 4 && n+5 <= len(b); n++ {
		if b[n] == 0xe8 && n > 0 {
			rel := int32(uint32(b[n+1]) | uint32(b[n+2])<<8 | uint32(b[n+3])<<16 | uint32(b[n+4])<<24)
			return x86asm.Inst{Op: x86asm.CALL, Len: n + 5, Args: x86asm.Args{x86asm.Rel(rel)}}, true
		}
		if b[n] != 0x66 && b[n] != 0x48 {
			break
		}
	}
	in, err := x86asm.Decode(b[:min(len(b), 16)], 64)
	return in, err == nil && in.Len > 0
}

// target is where a direct jump or call goes.
func target(at uint64, in *x86asm.Inst) (uint64, bool) {
	rel, ok := in.Args[0].(x86asm.Rel)
	return at + uint64(in.Len) + uint64(int64(rel)), ok
}

func isJump(in *x86asm.Inst) bool {
	_, ok := in.Args[0].(x86asm.Rel)
	return ok && in.Op != x86asm.CALL && in.Op != x86asm.XBEGIN
}

// isCheap: the kernel emulates it when a probe sits on it (arch/x86/kernel/uprobes.c, branch_setup_xol_ops
// and push_setup_xol_ops).
func isCheap(in *x86asm.Inst) bool {
	switch in.Op {
	case x86asm.PUSH:
		_, ok := in.Args[0].(x86asm.Reg)
		return ok
	case x86asm.NOP:
		return in.Opcode != 0 // not endbr64: it is not emulated
	case x86asm.CALL:
		_, ok := in.Args[0].(x86asm.Rel)
		return ok
	case x86asm.LOOP, x86asm.LOOPE, x86asm.LOOPNE, x86asm.JCXZ, x86asm.JECXZ, x86asm.JRCXZ:
		return false
	}
	return isJump(in)
}

// arguments are the registers of the System V ABI, in order.
var arguments = []x86asm.Reg{x86asm.RDI, x86asm.RSI, x86asm.RDX}

// writes: the instruction may change a register.
func writes(in *x86asm.Inst, r x86asm.Reg) bool {
	switch in.Op {
	case x86asm.CMP, x86asm.TEST, x86asm.PUSH, x86asm.NOP:
		return false
	case x86asm.CALL, x86asm.XCHG, x86asm.XADD, x86asm.CMPXCHG, x86asm.MUL, x86asm.DIV, x86asm.IDIV:
		return true
	}
	d, ok := in.Args[0].(x86asm.Reg)
	return ok && wide(d) == r
}

// wide is the register of 64 bits that another one is a part of.
func wide(r x86asm.Reg) x86asm.Reg {
	switch {
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return r - x86asm.EAX + x86asm.RAX
	case r >= x86asm.AX && r <= x86asm.R15W:
		return r - x86asm.AX + x86asm.RAX
	case r >= x86asm.AL && r <= x86asm.BL:
		return r - x86asm.AL + x86asm.RAX
	case r >= x86asm.SPB && r <= x86asm.R15B:
		return r - x86asm.SPB + x86asm.RSP
	}
	return r
}

// cheap finds the first place, on the way that is always taken from the beginning of a function, where a
// probe is cheap and the first n arguments are still in their registers.
func (im *image) cheap(f uint64, n int) (uint64, bool) {
	return im.lead(f, func(in *x86asm.Inst) bool {
		for _, r := range arguments[:n] {
			if writes(in, r) {
				return false
			}
		}
		return true
	})
}

// cheapFirst is cheap for one argument, which may have been moved to another of the registers of
// arguments: it returns the number of that, too.
func (im *image) cheapFirst(f uint64) (at uint64, register int, ok bool) {
	held := map[x86asm.Reg]bool{x86asm.RDI: true}
	at, ok = im.lead(f, func(in *x86asm.Inst) bool {
		to, _ := in.Args[0].(x86asm.Reg)
		from, copied := in.Args[1].(x86asm.Reg)
		copied = copied && in.Op == x86asm.MOV && held[from]
		for r := range held {
			if writes(in, r) {
				delete(held, r)
			}
		}
		if copied {
			held[to] = true
		}
		return len(held) > 0
	})
	for i, r := range arguments {
		if ok && held[r] {
			return at, i, true
		}
	}
	return 0, 0, false
}

// entry finds the place for a probe of the return: before anything is on the stack.
func (im *image) entry(f uint64) (uint64, bool) {
	return im.lead(f, func(in *x86asm.Inst) bool { return !writes(in, x86asm.RSP) })
}

// lead walks from the beginning of a function to the first cheap place, while pass lets it.
func (im *image) lead(f uint64, pass func(*x86asm.Inst) bool) (uint64, bool) {
	at := f
	for range maxLead {
		in, ok := im.decode(at)
		if !ok || in.Op == x86asm.RET {
			return 0, false
		}
		if isCheap(&in) {
			return im.offset(at)
		}
		if !pass(&in) {
			return 0, false
		}
		at += uint64(in.Len)
	}
	return 0, false
}

// reach visits every instruction that can be reached from the given functions, by direct jumps and calls
// of functions that are not exported. before are the instructions of the same straight line.
func (im *image) reach(functions []uint64, visit func(at uint64, in *x86asm.Inst, before []uint64)) {
	seen := map[uint64]bool{}
	todo := append([]uint64(nil), functions...)
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		var before []uint64
		for !seen[at] && len(seen) < maxInstructions {
			in, ok := im.decode(at)
			if !ok {
				break
			}
			seen[at] = true
			visit(at, &in, before)
			before = append(before, at)
			to, direct := target(at, &in)
			if in.Op == x86asm.RET || in.Op == x86asm.UD2 || in.Op == x86asm.HLT || in.Op == x86asm.JMP && !direct {
				break
			}
			if direct && im.names[to] == "" && im.thunk(to) == "" {
				todo = append(todo, to)
			}
			if in.Op == x86asm.JMP {
				break
			}
			at += uint64(in.Len)
		}
	}
}

// callee is the name of the function that a direct call calls, "" where it has none.
func (im *image) callee(at uint64, in *x86asm.Inst) string {
	to, ok := target(at, in)
	if !ok {
		// call *slot(%rip), of a build without a procedure linkage table
		return im.symbols[slot(at, in, 0)]
	}
	if name := im.names[to]; name != "" {
		return name
	}
	return im.thunk(to)
}

// thunk is the name of the function to which an entry of the procedure linkage table jumps.
func (im *image) thunk(at uint64) string {
	in, ok := im.decode(at)
	if ok && in.Op == x86asm.NOP {
		at += uint64(in.Len)
		in, ok = im.decode(at)
	}
	if !ok || in.Op != x86asm.JMP {
		return ""
	}
	return im.symbols[slot(at, &in, 0)]
}

// slot is the address that an operand names relative to the instruction; 0 where it does not.
func slot(at uint64, in *x86asm.Inst, operand int) uint64 {
	m, ok := in.Args[operand].(x86asm.Mem)
	if !ok || m.Base != x86asm.RIP {
		return 0
	}
	return at + uint64(in.Len) + uint64(m.Disp)
}

// firstArgument is the address that a straight line of code has put into the first argument; 0: unknown.
func (im *image) firstArgument(line []uint64) uint64 {
	for i := len(line) - 1; i >= 0; i-- {
		in, ok := im.decode(line[i])
		if !ok || !writes(&in, x86asm.RDI) {
			continue
		}
		if imm, ok := in.Args[1].(x86asm.Imm); ok && in.Op == x86asm.MOV {
			return uint64(imm)
		}
		at := slot(line[i], &in, 1)
		if in.Op == x86asm.LEA {
			return at
		}
		if in.Op == x86asm.MOV && at != 0 {
			return im.pointer(at)
		}
		return 0
	}
	return 0
}

// testOfResult finds the conditional jump behind a call, while its result is still there.
func (im *image) testOfResult(at uint64) (uint64, bool) {
	for range 8 {
		in, ok := im.decode(at)
		if !ok || in.Op == x86asm.RET || writes(&in, x86asm.RAX) {
			return 0, false
		}
		if isJump(&in) {
			return at, true
		}
		at += uint64(in.Len)
	}
	return 0, false
}
