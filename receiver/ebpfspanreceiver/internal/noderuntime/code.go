package noderuntime

import (
	"bytes"

	"golang.org/x/arch/x86/x86asm"
)

// Offsets that no Environment or AsyncWrap has are a misreading.
const maxOffset = 1 << 14

// instructions decodes from the beginning of a function until see returns false or the code ends.
func instructions(code []byte, see func(at int, in x86asm.Inst) bool) {
	for i := 0; i < len(code); {
		in, err := x86asm.Decode(code[i:], 64)
		if bytes.HasPrefix(code[i:], endbr64) {
			in, err = x86asm.Inst{Op: x86asm.NOP, Len: len(endbr64)}, nil
		}
		if err != nil || in.Len == 0 || !see(i, in) {
			return
		}
		i += in.Len
	}
}

// endbr64 is younger than the decoder.
var endbr64 = []byte{0xf3, 0x0f, 0x1e, 0xfa}

func offset(disp int64) (uint32, bool) {
	return uint32(disp), disp > 0 && disp < maxOffset && disp%8 == 0
}

// asyncIDs: the function ends by loading the array and returning its first element:
//
//	mov 0x480(%r12),%rax … movsd (%rax),%xmm0
func asyncIDs(code []byte) (found uint32, ok bool) {
	loaded := map[x86asm.Reg]int64{} // register → displacement of the load that filled it
	instructions(code, func(_ int, in x86asm.Inst) bool {
		to, _ := in.Args[0].(x86asm.Reg)
		from, isMem := in.Args[1].(x86asm.Mem)
		switch {
		case in.Op == x86asm.CALL:
			clear(loaded)
		case in.Op == x86asm.MOVSD_XMM && isMem && from.Disp == 0 && to == x86asm.X0:
			if disp, have := loaded[from.Base]; have {
				found, ok = offset(disp)
				return false
			}
		case in.Op == x86asm.MOV && isMem && from.Index == 0:
			loaded[to] = from.Disp
		case in.Op != x86asm.LEAVE && in.Op != x86asm.POP:
			delete(loaded, to)
		}
		return true
	})
	return found, ok
}

// depth: the first thing that is done with the Environment is to count the scope:
//
//	addq $1,0x5f8(%rsi)
func depth(code []byte) (found uint32, ok bool) {
	instructions(code, func(_ int, in x86asm.Inst) bool {
		to, isMem := in.Args[0].(x86asm.Mem)
		if !isMem || to.Base != x86asm.RSI || in.MemBytes != 8 {
			return in.Op != x86asm.CALL && in.Op != x86asm.RET
		}
		one, _ := in.Args[1].(x86asm.Imm)
		if in.Op == x86asm.INC || in.Op == x86asm.ADD && one == 1 || in.Op == x86asm.SUB && one == -1 {
			found, ok = offset(to.Disp)
		}
		return !ok
	})
	return found, ok
}

// wrapIDs: both are loaded from the handle, one by one or together:
//
//	movsd 0x28(%rsi),%xmm2; movsd 0x30(%rsi),%xmm1
func wrapIDs(code []byte) (found uint32, ok bool) {
	first := int64(0)
	instructions(code, func(_ int, in x86asm.Inst) bool {
		from, isMem := in.Args[1].(x86asm.Mem)
		if !isMem || from.Base != x86asm.RSI || from.Index != 0 {
			return in.Op != x86asm.CALL && in.Op != x86asm.RET
		}
		switch in.Op {
		case x86asm.MOVSD_XMM, x86asm.MOVQ:
			if first != 0 && from.Disp == first+8 {
				found, ok = offset(first)
			} else if first != 0 && from.Disp == first-8 {
				found, ok = offset(from.Disp)
			}
			first = from.Disp
		case x86asm.MOVUPS, x86asm.MOVUPD, x86asm.MOVDQU:
			found, ok = offset(from.Disp)
		}
		return !ok
	})
	return found, ok
}

// check: the Environment is found from its member that was passed:
//
//	lea -0x178(%rdi),%rbx
func check(code []byte) (found uint32, ok bool) {
	instructions(code, func(_ int, in x86asm.Inst) bool {
		from, isMem := in.Args[1].(x86asm.Mem)
		if isMem && from.Base == x86asm.RDI {
			if in.Op == x86asm.LEA {
				found, ok = offset(-int64(int32(from.Disp))) // the decoder does not extend its sign
			}
			return false
		}
		return in.Op != x86asm.CALL && in.Op != x86asm.RET
	})
	return found, ok
}

// arguments are the registers that a probe reads.
var arguments = map[x86asm.Reg]bool{x86asm.RDI: true, x86asm.RSI: true, x86asm.RDX: true, x86asm.RCX: true}

// cheapSite returns the offset of the first push that straight-line code reaches with the arguments
// untouched: the kernel emulates it, and single-steps almost everything else. Without one: the entry.
func cheapSite(code []byte) (at uint64, cheap bool) {
	instructions(code, func(i int, in x86asm.Inst) bool {
		if in.Op == x86asm.PUSH && in.Len <= 2 {
			at, cheap = uint64(i), true
			return false
		}
		to, isReg := in.Args[0].(x86asm.Reg)
		switch in.Op {
		case x86asm.NOP:
			return true
		case x86asm.MOV, x86asm.XOR, x86asm.LEA, x86asm.SUB:
			return isReg && !arguments[to]
		}
		return false
	})
	return at, cheap
}
