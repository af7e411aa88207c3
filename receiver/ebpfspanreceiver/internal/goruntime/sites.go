package goruntime

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/arch/arm64/arm64asm"
	"golang.org/x/arch/x86/x86asm"
)

// Kind says what happens at a site.
type Kind uint8

const (
	// ChanSend: the running goroutine gives a value straight to a goroutine that waits to receive.
	ChanSend Kind = iota + 1
	// ChanRecv: the running goroutine takes a value from a goroutine that waits to send.
	ChanRecv
	// NewGoroutine: a go statement has made a goroutine that is not yet runnable.
	NewGoroutine
	// BufferPut: a value goes into the buffer of a channel.
	BufferPut
	// BufferTake: a value comes out of one.
	BufferTake
	// WaitGroupAdd: somebody is to be waited for, or is done.
	WaitGroupAdd
)

func (k Kind) String() string {
	switch k {
	case ChanSend:
		return "channel send to a waiter"
	case ChanRecv:
		return "channel receive from a waiter"
	case NewGoroutine:
		return "new goroutine"
	case BufferPut:
		return "channel buffer put"
	case BufferTake:
		return "channel buffer take"
	case WaitGroupAdd:
		return "wait group"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Site is a place for a uprobe and what the registers hold there. Register
// names are the machine's ("rbx", "x1"); empty means not at this site.
type Site struct {
	Kind        Kind
	Symbol      string
	Offset      uint64 // in the file, as perf_event_open and uprobe_multi want it
	Address     uint64 // virtual, before load bias
	Instruction string // GNU syntax
	GReg        string // runtime.g that runs; m.g0 at NewGoroutine
	SudogReg    string // runtime.sudog of the waiter: *(g**)(reg+SudogGOffset) is the waiter
	NewGReg     string // runtime.g just made, its goid and parentGoid set
	// WaiterInClosure: an inlined send or recv; the waiter's g is
	// *(g**)(*(u64*)(sp+ClosureArg) + 8) and SudogReg is empty.
	WaiterInClosure bool
	ClosureArg      int64
	// Expensive: the instruction is single-stepped (some 16 us in a VM instead of 0.5 us).
	Expensive bool
	// Retried: a call that must grow the stack first passes here twice with the same registers.
	Retried bool
}

// Missing is a site that could not be found, and why. It may concern one inlined copy of several.
type Missing struct {
	Kind   Kind
	Reason string
}

// body is a function of the image with its code.
type body struct {
	name string
	addr uint64
	code []byte
}

// argSite finds where to probe a function so that its register arguments are
// intact: the first push (amd64) or, where a release has none, the conditional
// jump of the stack check, which precedes every change to argument registers.
func argSite(arch Arch, kind Kind, b body) Site {
	s := Site{Kind: kind, Symbol: b.name, Address: b.addr, Expensive: true}
	if arch == ARM64 {
		s.GReg, s.SudogReg = "x28", "x1"
		if at, ok := arm64StackCheck(b.code); ok {
			s.Address, s.Expensive, s.Retried = b.addr+at, false, true
		}
	} else {
		s.GReg, s.SudogReg = "r14", "rbx"
		if at, retried, ok := amd64Cheap(b.code); ok {
			s.Address, s.Expensive, s.Retried = b.addr+at, false, retried
		}
	}
	s.Instruction = disassemble(arch, b.code[s.Address-b.addr:], s.Address)
	return s
}

// amd64Cheap returns the offset of a push that straight-line code reaches with
// no register written except r12 and r13 (scratch in Go's ABI, used by the stack
// check of large frames), else that of the first conditional jump.
func amd64Cheap(code []byte) (at uint64, retried, ok bool) {
	jump, haveJump := uint64(0), false
	for i := 0; i < len(code); {
		in, err := x86asm.Decode(code[i:], 64)
		if err != nil || in.Len == 0 {
			break
		}
		op := code[i]
		switch {
		case in.Len == 1 && op >= 0x50 && op <= 0x57, in.Len == 2 && op == 0x41 && code[i+1] >= 0x50 && code[i+1] <= 0x57:
			return uint64(i), false, true
		case op >= 0x70 && op <= 0x7f && in.Len == 2, op == 0x0f && in.Len == 6 && code[i+1]&0xf0 == 0x80:
			if !haveJump {
				jump, haveJump = uint64(i), true
			}
		case in.Op == x86asm.CMP, in.Op == x86asm.TEST, in.Op == x86asm.NOP:
		case in.Op == x86asm.LEA && (in.Args[0] == x86asm.R12 || in.Args[0] == x86asm.R13):
		default:
			return jump, haveJump, haveJump
		}
		i += in.Len
	}
	return jump, haveJump, haveJump
}

// arm64StackCheck returns the offset of the stack check's B.cond. Up to it only
// x16, x17 and x27 (scratch of the linker and the assembler) may be written.
func arm64StackCheck(code []byte) (uint64, bool) {
	for i := 0; i+4 <= len(code) && i < 64; i += 4 {
		w := binary.LittleEndian.Uint32(code[i:])
		if w&0xff000010 == 0x54000000 {
			return uint64(i), true
		}
		in, err := arm64asm.Decode(code[i:])
		if err != nil || in.Op == arm64asm.STR || in.Op == arm64asm.STP || in.Op == arm64asm.RET || in.Op == arm64asm.BL {
			return 0, false
		}
		rd := w & 31
		if in.Op != arm64asm.CMP && rd != 16 && rd != 17 && rd != 27 {
			return 0, false
		}
	}
	return 0, false
}

// spawnSite finds, in the code a go statement runs on the system stack, the
// call of runqput (it makes the goroutine runnable) after the call of newproc1
// (it makes the goroutine). Compiled as it is since Go 1.17:
//
//	newg := newproc1(...)
//	runqput(pp, newg, true)
//
// Without the call of runqput (inlined), the instruction after newproc1's return
// has newg in the result register; it is rarely cheap.
func spawnSite(arch Arch, b body, newproc1, runqput map[uint64]bool) (Site, bool) {
	s := Site{Kind: NewGoroutine, Symbol: b.name, GReg: "r14", NewGReg: "rbx"}
	result := "rax"
	if arch == ARM64 {
		s.GReg, s.NewGReg, result = "x28", "x1", "x0"
	}
	var after uint64
	for i := 0; i < len(b.code); {
		n, target, ok := callAt(arch, b.code[i:], b.addr+uint64(i))
		if n == 0 {
			break
		}
		switch {
		case ok && newproc1[target]:
			after = uint64(i + n)
		case ok && after != 0 && runqput[target]:
			s.Address = b.addr + uint64(i)
			s.Instruction = disassemble(arch, b.code[i:], s.Address)
			return s, true
		}
		i += n
	}
	if after == 0 || after >= uint64(len(b.code)) {
		return Site{}, false
	}
	s.Address, s.NewGReg, s.Expensive = b.addr+after, result, true
	s.Instruction = disassemble(arch, b.code[after:], s.Address)
	return s, true
}

// callAt returns the length of the instruction (0 if it cannot be decoded) and, for a direct call, its target.
func callAt(arch Arch, code []byte, pc uint64) (n int, target uint64, call bool) {
	if arch == ARM64 {
		if len(code) < 4 {
			return 0, 0, false
		}
		w := binary.LittleEndian.Uint32(code)
		if w&0xfc000000 == 0x94000000 {
			return 4, pc + uint64(int64(int32(w<<6)>>6)*4), true
		}
		return 4, 0, false
	}
	in, err := x86asm.Decode(code, 64)
	if err != nil {
		return 0, 0, false
	}
	if code[0] == 0xe8 && in.Len == 5 {
		return 5, pc + 5 + uint64(int64(int32(binary.LittleEndian.Uint32(code[1:])))), true
	}
	return in.Len, 0, false
}
