package goruntime

import (
	"encoding/binary"

	"golang.org/x/arch/arm64/arm64asm"
	"golang.org/x/arch/x86/x86asm"
)

// op is the part of an instruction that the derivation of offsets looks at.
// Registers are numbered as the machine does; noReg stands for none.
type op struct {
	kind      opKind
	dst, base int
	src       int
	disp      int64
	target    uint64 // absolute address, opCall
}

type opKind uint8

const (
	opOther    opKind = iota // writes dst, if any, with something untracked
	opLoad                   // dst = u64 [base+disp]
	opCompare                // compares a register with u64 [base+disp]
	opStore                  // u64 [base+disp] = src
	opInc                    // u64 [base+disp] += 1
	opAddOne                 // dst = src + 1
	opMove                   // dst = src
	opConst                  // dst = disp
	opConstLow               // the low 16 bits of dst = disp, the rest is kept
	opTLSLoad                // dst = u64 [thread pointer + base's value (noReg: 0) + disp]
	opTLSStore
	opCall   // registers are lost
	opBranch // a jump: what follows may be reached from elsewhere
)

const (
	noReg    = -1
	regSPx86 = 4
	regSPa64 = 31
	regGx86  = 14
	regGa64  = 28
)

// decodeOps turns code at address pc into ops. It stops at limit instructions;
// bytes it cannot decode are stepped over as an opCall, which forgets all registers.
func decodeOps(arch Arch, code []byte, pc uint64) []op {
	if arch == ARM64 {
		return decodeARM64(code, pc)
	}
	return decodeAMD64(code, pc)
}

func decodeAMD64(code []byte, pc uint64) []op {
	ops := make([]op, 0, len(code)/4)
	for i := 0; i < len(code); {
		in, err := x86asm.Decode(code[i:], 64)
		if err != nil || in.Len == 0 {
			ops = append(ops, op{kind: opCall, dst: noReg, base: noReg, src: noReg})
			i++
			continue
		}
		i += in.Len
		ops = append(ops, amd64Op(in, pc+uint64(i)))
	}
	return ops
}

// amd64Op classifies one instruction; next is the address after it.
func amd64Op(in x86asm.Inst, next uint64) op {
	o := op{dst: noReg, base: noReg, src: noReg}
	if in.Op == x86asm.CALL {
		o.kind = opCall
		if rel, ok := in.Args[0].(x86asm.Rel); ok {
			o.target = next + uint64(int64(rel))
		}
		return o
	}
	if in.PCRel != 0 && in.Args[1] == nil {
		o.kind = opBranch
		return o
	}
	dst, dstReg := reg64(in.Args[0])
	src, srcReg := reg64(in.Args[1])
	dm, dstMem := in.Args[0].(x86asm.Mem)
	sm, srcMem := in.Args[1].(x86asm.Mem)
	full := in.MemBytes == 8
	switch {
	case in.Op == x86asm.MOV && dstReg && srcReg:
		o.kind, o.dst, o.src = opMove, dst, src
		return o
	case in.Op == x86asm.MOV && dstReg && srcMem && full && sm.Segment == x86asm.FS && sm.Index == 0:
		o.kind, o.dst, o.base, o.disp = opTLSLoad, dst, base64(sm), signed32(sm.Disp)
		return o
	case in.Op == x86asm.MOV && srcReg && dstMem && full && dm.Segment == x86asm.FS && dm.Index == 0:
		o.kind, o.src, o.base, o.disp = opTLSStore, src, base64(dm), signed32(dm.Disp)
		return o
	case in.Op == x86asm.MOV && dstReg && srcMem && full && plain(sm):
		o.kind, o.dst, o.base, o.disp = opLoad, dst, base64(sm), sm.Disp
		return o
	case in.Op == x86asm.CMP && (dstReg && srcMem && plain(sm) || srcReg && dstMem && plain(dm)) && full:
		if srcMem {
			dm = sm
		}
		o.kind, o.base, o.disp = opCompare, base64(dm), dm.Disp
		return o
	case in.Op == x86asm.MOV && srcReg && dstMem && full && plain(dm):
		o.kind, o.src, o.base, o.disp = opStore, src, base64(dm), dm.Disp
		return o
	case in.Op == x86asm.MOV && dstReg:
		if imm, ok := in.Args[1].(x86asm.Imm); ok {
			o.kind, o.dst, o.disp = opConst, dst, int64(imm)
			return o
		}
	case (in.Op == x86asm.INC || in.Op == x86asm.ADD && in.Args[1] == x86asm.Imm(1)) && dstMem && full && plain(dm):
		o.kind, o.base, o.disp = opInc, base64(dm), dm.Disp
		return o
	case in.Op == x86asm.LEA && dstReg && srcMem && plain(sm) && sm.Disp == 1:
		o.kind, o.dst, o.src = opAddOne, dst, base64(sm)
		return o
	case in.Op == x86asm.INC && dstReg:
		o.kind, o.dst, o.src = opAddOne, dst, dst
		return o
	}
	o.kind = opOther
	for _, a := range in.Args { // any register named may be written (xchg, cmpxchg)
		if r, ok := a.(x86asm.Reg); ok && in.Op != x86asm.CMP && in.Op != x86asm.TEST {
			o.dst = wide(r)
			break
		}
	}
	return o
}

// wide maps a general register of any width to its number, noReg for others.
func wide(r x86asm.Reg) int {
	switch {
	case r >= x86asm.RAX && r <= x86asm.R15:
		return int(r - x86asm.RAX)
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return int(r - x86asm.EAX)
	case r >= x86asm.AX && r <= x86asm.R15W:
		return int(r - x86asm.AX)
	case r >= x86asm.AL && r <= x86asm.BL:
		return int(r - x86asm.AL)
	case r >= x86asm.AH && r <= x86asm.BH:
		return int(r - x86asm.AH)
	case r >= x86asm.SPB && r <= x86asm.R15B:
		return int(r-x86asm.SPB) + regSPx86
	}
	return noReg
}

func reg64(a x86asm.Arg) (int, bool) {
	r, ok := a.(x86asm.Reg)
	if !ok || r < x86asm.RAX || r > x86asm.R15 {
		return noReg, false
	}
	return int(r - x86asm.RAX), true
}

func base64(m x86asm.Mem) int {
	if m.Base == 0 {
		return noReg
	}
	return wide(m.Base)
}

// signed32 undoes x86asm's zero extension of an absolute 32-bit displacement.
func signed32(disp int64) int64 { return int64(int32(disp)) }

// plain: one base register, no index, no segment.
func plain(m x86asm.Mem) bool {
	return m.Segment == 0 && m.Index == 0 && m.Base >= x86asm.RAX && m.Base <= x86asm.R15
}

// decodeARM64 reads the few encodings it needs itself (Arm ARM section C4.1).
func decodeARM64(code []byte, pc uint64) []op {
	ops := make([]op, 0, len(code)/4)
	for i := 0; i+4 <= len(code); i += 4 {
		w := binary.LittleEndian.Uint32(code[i:])
		rd, rn, rt2 := int(w&31), int(w>>5&31), int(w>>10&31)
		o := op{kind: opOther, dst: rd, base: noReg, src: noReg}
		switch {
		case w&0xffc00000 == 0xf9400000: // LDR Xt, [Xn, #imm12*8]
			o = op{kind: opLoad, dst: rd, base: rn, src: noReg, disp: int64(w>>10&0xfff) * 8}
		case w&0xffc00000 == 0xf9000000: // STR Xt, [Xn, #imm12*8]
			o = op{kind: opStore, src: rd, base: rn, dst: noReg, disp: int64(w>>10&0xfff) * 8}
		case w&0xffc00000 == 0xa9400000, w&0xffc00000 == 0xa9000000: // LDP, STP Xt, Xt2, [Xn, #imm7*8]
			disp := int64(int32(w<<10)>>25) * 8
			kind, one := opLoad, op{base: rn, dst: rd, src: noReg}
			two := op{base: rn, dst: rt2, src: noReg}
			if w&0x00400000 == 0 {
				kind, one, two = opStore, op{base: rn, src: rd, dst: noReg}, op{base: rn, src: rt2, dst: noReg}
			}
			one.kind, one.disp = kind, disp
			two.kind, two.disp = kind, disp+8
			// A load may overwrite its own base with the first register.
			if kind == opLoad && rd == rn {
				one, two = two, one
			}
			ops = append(ops, one)
			o = two
		case w&0xfffffc00 == 0x91000400: // ADD Xd, Xn, #1
			o = op{kind: opAddOne, dst: rd, src: rn, base: noReg}
		case w&0xffe0ffe0 == 0xaa0003e0: // MOV Xd, Xm
			o = op{kind: opMove, dst: rd, src: int(w >> 16 & 31), base: noReg}
		case w&0xffe00000 == 0xd2800000: // MOVZ Xd, #imm16
			o = op{kind: opConst, dst: rd, src: noReg, base: noReg, disp: int64(w >> 5 & 0xffff)}
		case w&0xffe00000 == 0xd2a00000: // MOVZ Xd, #imm16, LSL #16
			o = op{kind: opConst, dst: rd, src: noReg, base: noReg, disp: int64(w>>5&0xffff) << 16}
		case w&0xffe00000 == 0xf2800000: // MOVK Xd, #imm16
			o = op{kind: opConstLow, dst: rd, src: noReg, base: noReg, disp: int64(w >> 5 & 0xffff)}
		case w&0xffe0fc00 == 0xf8606800: // LDR Xt, [Xn, Xm]: in the runtime's assembly only of the thread pointer
			o = op{kind: opTLSLoad, dst: rd, src: noReg, base: int(w >> 16 & 31)}
		case w&0xffe0fc00 == 0xf8206800: // STR Xt, [Xn, Xm]
			o = op{kind: opTLSStore, dst: noReg, src: rd, base: int(w >> 16 & 31)}
		case w&0xfc000000 == 0x94000000: // BL
			o = op{kind: opCall, dst: noReg, src: noReg, base: noReg, target: pc + uint64(i) + uint64(int64(int32(w<<6)>>6)*4)}
		case w&0xfffffc1f == 0xd63f0000: // BLR
			o = op{kind: opCall, dst: noReg, src: noReg, base: noReg}
		case w&0xfc000000 == 0x14000000, w&0xff000010 == 0x54000000, w&0x7e000000 == 0x34000000, w&0x7e000000 == 0x36000000:
			o = op{kind: opBranch, dst: noReg, src: noReg, base: noReg} // B, B.cond, CBZ, TBZ
		}
		ops = append(ops, o)
	}
	return ops
}

// disassemble names the instruction at the start of code, for people.
func disassemble(arch Arch, code []byte, pc uint64) string {
	if arch == ARM64 {
		in, err := arm64asm.Decode(code)
		if err != nil {
			return ""
		}
		return arm64asm.GNUSyntax(in)
	}
	in, err := x86asm.Decode(code, 64)
	if err != nil {
		return ""
	}
	return x86asm.GNUSyntax(in, pc, nil)
}
