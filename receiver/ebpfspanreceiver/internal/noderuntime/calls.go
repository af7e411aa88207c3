package noderuntime

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/arch/x86/x86asm"
)

// Of ten callback scopes of an HTTP request, two tell something: the others are parts of an event that is
// known, or nested in one. Which they are is known from where they are called: there are some thirty places.
//
//   - RunTimers and RunAndClearNativeImmediates: the probes of the phases tell the same.
//   - The HTTP parser: its bytes were read before, or are passed by JavaScript, which runs in a scope. Its
//     scopes alone leave the queues of tasks to the one that follows (kSkipTaskQueues), in functions that are
//     not exported. JavaScript runs in them; the ids of the scope that it runs in are read where they
//     matter ([Layout.Stack]).
//
// Either every call is understood, or none is used and the scopes are probed where they begin.

// skipTaskQueues is InternalCallbackScope::kSkipTaskQueues, of its flags.
const skipTaskQueues = 2

// call is an instruction that calls one of several functions, or jumps there.
type call struct {
	address, offset uint64 // offset: in the file
	to              uint64 // address of the function
	before          []byte // code in front of it, maxBefore bytes, and the instruction itself
}

const (
	maxBefore = 96
	callBytes = 5 // e8 or e9, and a distance of 32 bits
)

// scopeCalls finds where callback scopes are begun that tell something, or the reason why it does not.
func (im *image) scopeCalls(scope, wrap function, layout *Layout) (found []Site, reason string, err error) {
	var known [3]function
	for i, name := range [...]string{fnCallback, fnImmediates, fnTimers} {
		f, err := im.function(name)
		if errors.Is(err, errNoSymbol) {
			return nil, "it does not export " + name, nil
		}
		if err != nil {
			return nil, "", err
		}
		known[i] = f
	}
	calls, err := im.calls(scope.address, wrap.address)
	if err != nil {
		return nil, "", err
	}
	layout.Stack, layout.Fields, err = im.asyncStack(layout.AsyncIDs)
	if err != nil {
		return nil, "", err
	}
	makeCallback := false
	wraps := 0
	for i := range calls {
		c := &calls[i]
		if !c.whole() {
			return nil, fmt.Sprintf("the code at %#x is not understood", c.address), nil
		}
		s := Site{Kind: Callback, Symbol: fnScope, Offset: c.offset}
		if c.to == wrap.address {
			wraps++
			s.Kind, s.Symbol = WrapCallback, fnWrapScope
			if layout.Stack != 0 && c.skipsTaskQueues() {
				exported, err := im.exported(c.address)
				if err != nil {
					return nil, "", err
				}
				if !exported {
					continue
				}
			}
		} else if known[1].has(c.address) || known[2].has(c.address) {
			continue
		}
		makeCallback = makeCallback || s.Kind == Callback && known[0].has(c.address)
		found = append(found, s)
	}
	if !makeCallback || wraps == 0 {
		return nil, "the calls of callback scopes are not direct", nil
	}
	return found, "", nil
}

// calls finds the direct calls and jumps to some addresses, in the order of theirs.
func (im *image) calls(to ...uint64) ([]call, error) {
	const chunk = 1 << 20
	var found []call
	buf := make([]byte, chunk+callBytes-1)
	for _, p := range im.code {
		for at := uint64(0); at+callBytes <= p.Filesz; at += chunk {
			code := buf[:min(uint64(len(buf)), p.Filesz-at)]
			if err := readFull(im.r, code, int64(p.Off+at)); err != nil {
				return nil, err
			}
			for _, opcode := range [...]byte{0xe8, 0xe9} {
				for i := 0; ; i++ {
					n := bytes.IndexByte(code[i:], opcode)
					if n < 0 || i+n+callBytes > len(code) {
						break
					}
					i += n
					address := p.Vaddr + at + uint64(i)
					target := address + callBytes + uint64(int64(int32(binary.LittleEndian.Uint32(code[i+1:]))))
					if !slices.Contains(to, target) {
						continue
					}
					c := call{address: address, offset: p.Off + at + uint64(i), to: target}
					before := min(maxBefore, address-p.Vaddr)
					c.before = make([]byte, before+callBytes)
					if err := readFull(im.r, c.before, int64(c.offset-before)); err != nil {
						return nil, err
					}
					found = append(found, c)
				}
			}
		}
	}
	slices.SortFunc(found, func(a, b call) int { return cmp.Compare(a.address, b.address) })
	return found, nil
}

// whole: the bytes are an instruction, and not a part of one. Decoding finds back to the beginnings of
// instructions after a few of them, wherever it begins.
func (c *call) whole() bool {
	const begins, agree = 16, 12
	at, right := len(c.before)-callBytes, 0
	for from := range min(begins, at) {
		if _, ok := c.decode(from); ok {
			right++
		}
	}
	return right >= agree
}

// decode is the instructions in front of the call, and whether they end there.
func (c *call) decode(from int) (ins []x86asm.Inst, ok bool) {
	at := len(c.before) - callBytes
	for from < at {
		in, err := x86asm.Decode(c.before[from:], 64)
		if bytes.HasPrefix(c.before[from:], endbr64) {
			in, err = x86asm.Inst{Op: x86asm.NOP, Len: len(endbr64)}, nil
		}
		if err != nil || in.Len == 0 {
			in = x86asm.Inst{Len: 1} // it may begin within an instruction
		}
		ins = append(ins, in)
		from += in.Len
	}
	return ins, from == at
}

// skipsTaskQueues: the third argument is a number that says so.
func (c *call) skipsTaskQueues() bool {
	for from := range len(c.before) - callBytes {
		ins, ok := c.decode(from)
		if !ok {
			continue
		}
		for _, in := range slices.Backward(ins) {
			if in.Op == 0 || in.Op == x86asm.CALL || in.Op == x86asm.RET || in.PCRel != 0 && in.Args[1] == nil {
				return false // the argument may be from elsewhere
			}
			if to, _ := in.Args[0].(x86asm.Reg); to == x86asm.EDX || to == x86asm.RDX || to == x86asm.DX || to == x86asm.DL {
				flags, isImm := in.Args[1].(x86asm.Imm)
				return in.Op == x86asm.MOV && isImm && flags&skipTaskQueues != 0
			}
		}
		return false
	}
	return false
}

// asyncStack finds the pointers to the ids below those that run and to how many they are, which
// AsyncHooks::pop_async_context reads; ids is where that of those that run is in the Environment. 0, 0: it
// looks otherwise.
func (im *image) asyncStack(ids uint32) (stack, fields uint32, err error) {
	f, err := im.function(fnPop)
	if errors.Is(err, errNoSymbol) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	stack, fields, own, ok := popped(f.code)
	if !ok || own > ids {
		return 0, 0, nil
	}
	return ids - own + stack, ids - own + fields, nil
}

// stackLength is where the number of pairs is: kStackLength of node::AsyncHooks::Fields, 32 bits each.
const stackLength = 4 * 7

// popped: what is on top of the stack becomes what runs. Offsets in the node::AsyncHooks:
//
//	mov 0x60(%rdi),%rax; mov 0x1c(%rax),%r13d … mov 0x98(%rdi),%rdx … mov %rdi,%r12
//	mov 0x28(%r12),%rcx … movsd (%rcx,%rdi,8),%xmm0 … movsd %xmm0,(%rdx)
func popped(code []byte) (stack, fields, ids uint32, ok bool) {
	this := map[x86asm.Reg]bool{x86asm.RDI: true}
	loaded := map[x86asm.Reg]int64{}
	var at [3]int64 // stack, fields, ids
	instructions(code, func(_ int, in x86asm.Inst) bool {
		to, toReg := in.Args[0].(x86asm.Reg)
		from, fromMem := in.Args[1].(x86asm.Mem)
		into, intoMem := in.Args[0].(x86asm.Mem)
		source, fromReg := in.Args[1].(x86asm.Reg)
		switch {
		case in.Op == x86asm.CALL, in.Op == x86asm.RET:
			return false
		case in.Op == x86asm.MOVSD_XMM && fromMem && from.Index != 0 && from.Scale == 8 && from.Disp == 0:
			if at[0] == 0 {
				at[0] = loaded[from.Base]
			}
		case in.Op == x86asm.MOVSD_XMM && intoMem && into.Index == 0 && into.Disp == 0:
			at[2] = loaded[into.Base]
		case in.Op == x86asm.MOV && toReg && fromMem && in.MemBytes == 4 && from.Disp == stackLength && at[1] == 0:
			at[1] = loaded[from.Base]
			forget(to, this, loaded)
		case in.Op == x86asm.MOV && toReg && fromMem && in.MemBytes == 8 && from.Index == 0 && this[from.Base]:
			delete(this, to)
			loaded[to] = from.Disp
		case in.Op == x86asm.MOV && toReg && fromReg && this[source]:
			delete(loaded, to)
			this[to] = true
		case toReg && in.Op != x86asm.CMP && in.Op != x86asm.TEST && in.Op != x86asm.PUSH:
			forget(to, this, loaded)
		}
		return at[0] == 0 || at[1] == 0 || at[2] == 0
	})
	var offsets [3]uint32
	for i, disp := range at {
		if offsets[i], ok = offset(disp); !ok {
			return 0, 0, 0, false
		}
	}
	return offsets[0], offsets[1], offsets[2], true
}

// forget: something else is in a register; 32 bits that are written clear the rest.
func forget(r x86asm.Reg, this map[x86asm.Reg]bool, loaded map[x86asm.Reg]int64) {
	if r >= x86asm.EAX && r <= x86asm.R15L {
		r += x86asm.RAX - x86asm.EAX
	}
	delete(this, r)
	delete(loaded, r)
}

// exported: the address is in a function that has a name.
func (im *image) exported(address uint64) (bool, error) {
	const symbolBytes = 24 // Elf64_Sym
	text, err := im.symbols.Data()
	if err != nil {
		return false, fmt.Errorf("%w: symbols: %w", ErrMalformed, err)
	}
	le := binary.LittleEndian
	for ; len(text) >= symbolBytes; text = text[symbolBytes:] {
		if elf.ST_TYPE(text[4]) == elf.STT_FUNC && address-le.Uint64(text[8:]) < le.Uint64(text[16:]) {
			return true, nil
		}
	}
	return false, nil
}
