package goruntime

import "fmt"

// fnMove copies one element (its type, to, from); fnClear wipes what was taken.
const fnMove, fnClear = "runtime.typedmemmove", "runtime.typedmemclr"

// Offsets of hchan.elemtype: Go 1.23 put a pointer to a timer before it. sendx and recvx follow it.
const (
	elemtypeOld = 32
	elemtypeNew = 40
)

// Buffers says where elements go into the buffers of channels and come out of them. An element is known
// by the address of its place in the buffer, while the channel is locked.
type Buffers struct {
	// Sites are of the kinds [BufferPut] and [BufferTake]; all of them, or none.
	Sites []Site
	// Elemtype is the offset of hchan.elemtype; sendx and recvx are the two words after it.
	Elemtype int64
	// Reason says why there are no sites.
	Reason string
}

// Timer says that channels have the pointer to a timer.
func (b *Buffers) Timer() bool { return b.Elemtype == elemtypeNew }

// bufferSites finds the calls of typedmemmove that move elements. Compiled as it is since Go 1.17:
//
//	chansend:  typedmemmove(c.elemtype, chanbuf(c, c.sendx), ep)
//	chanrecv:  typedmemmove(c.elemtype, ep, qp); typedmemclr(c.elemtype, qp)
//	selectgo:  both
//
// A value that is received into nothing is not copied, so it is not seen. What recv moves in a full buffer
// is known from its arguments. Where the compiler has inlined one of them into another (profile-guided
// builds) the calls are more than these, and none is used: half of the moves are worse than none.
func (t *funcTable) bufferSites(base uint64) Buffers {
	moves, clears := t.addresses(base, fnMove), t.addresses(base, fnClear)
	found := Buffers{Elemtype: -1}
	for _, f := range []struct {
		name        string
		puts, takes int
	}{
		{fnChansend, 1, 0},
		{fnChanrecv, 0, 1},
		{fnSelectgo, 1, 1},
		{"runtime.chansend1", 0, 0},
		{"runtime.chanrecv1", 0, 0},
		{"runtime.chanrecv2", 0, 0},
		{"runtime.selectnbsend", 0, 0},
		{"runtime.selectnbrecv", 0, 0},
	} {
		puts, takes := 0, 0
		for _, b := range t.bodies(base, f.name) {
			for _, m := range elementMoves(t.im.arch, b, moves, clears) {
				switch {
				case m.elemtype != elemtypeOld && m.elemtype != elemtypeNew, found.Elemtype >= 0 && found.Elemtype != m.elemtype:
					return Buffers{Reason: fmt.Sprintf("the type of an element is at %d of a channel in %s", m.elemtype, f.name)}
				case m.site.Kind == BufferPut:
					puts++
				default:
					takes++
				}
				var inFile bool
				if m.site.Offset, inFile = t.im.fileOffset(m.site.Address, 1); !inFile {
					return Buffers{Reason: fmt.Sprintf("%s at %#x is in no loaded segment", f.name, m.site.Address)}
				}
				found.Elemtype = m.elemtype
				found.Sites = append(found.Sites, m.site)
			}
		}
		absent := f.name == fnSelectgo && len(t.functions[f.name]) == 0 // the linker drops it from programs without select
		if (puts != f.puts || takes != f.takes) && !absent {
			return Buffers{Reason: fmt.Sprintf("%s puts %d and takes %d elements, not %d and %d: build with -pgo=off", f.name, puts, takes, f.puts, f.takes)}
		}
	}
	if len(found.Sites) == 0 {
		return Buffers{Reason: "no function moves elements"}
	}
	return found
}

type elementMove struct {
	site     Site
	elemtype int64
}

// elementMoves returns the calls of move in b. One whose next call is of clear is a take.
func elementMoves(arch Arch, b body, move, clear map[uint64]bool) []elementMove {
	var found []elementMove
	last := -1 // the move whose next call is still to come
	for i := 0; i < len(b.code); {
		n, target, call := callAt(arch, b.code[i:], b.addr+uint64(i))
		if n == 0 {
			break
		}
		if call && last >= 0 {
			if clear[target] {
				found[last].site.Kind = BufferTake
			}
			last = -1
		}
		if call && move[target] {
			s := Site{Kind: BufferPut, Symbol: b.name, Address: b.addr + uint64(i), GReg: "r14"}
			if arch == ARM64 {
				s.GReg = "x28"
			}
			s.Instruction = disassemble(arch, b.code[i:], s.Address)
			found = append(found, elementMove{s, elemtypeBefore(decodeOps(arch, b.code[:i], b.addr))})
			last = len(found) - 1
		}
		i += n
	}
	return found
}

// elemtypeBefore returns the offset from which the first argument of a call was loaded, or -1.
func elemtypeBefore(ops []op) int64 {
	reg := 0 // rax and x0
	for i := len(ops) - 1; i >= 0; i-- {
		switch o := ops[i]; {
		case o.kind == opCall:
			return -1
		case o.dst != reg:
		case o.kind == opMove:
			reg = o.src
		case o.kind == opLoad:
			return o.disp
		default:
			return -1
		}
	}
	return -1
}
