package link

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// A stored fact is a bit set of the fields that are not zero, 4 bytes, and those fields in the order of
// writeFact, all little endian. What is beside it follows in the same way when hasRare is set.
const hasRare = 1 << 31

// writeFact and readFact have the fields in the same order, in which they have their place for good: a new one
// goes to the end, and an old reader takes its bit for damage. They are two because each span that leaves is
// written, and hardly one is read: what does both takes four times as long to write.
func writeFact(w *writer, f *Fact) {
	w.id(f.Span)
	if f.Raw {
		// Nothing asks for it once the span has left.
		w.field++
	} else {
		w.trace(&f.OwnTrace)
	}
	w.trace(&f.CtxTrace)
	w.id(f.CtxParent)
	w.id(f.Anchor)
	w.u64(f.Host)
	w.u64(f.Systrace)
	w.u64(f.Pseudo)
	w.u64(f.LateOf)
	w.u64(uint64(f.Start))
	w.u64(uint64(f.End))
	w.u32(f.ReqSeq)
	w.u32(f.RespSeq)
	w.u32(f.Local.Addr)
	w.u16(f.Local.Port)
	w.flag(f.Local.Untraced)
	w.u32(f.Peer.Addr)
	w.u16(f.Peer.Port)
	w.flag(f.Peer.Untraced)
	w.u32(math.Float32bits(f.HintConfidence))
	w.u8(uint8(f.Role))
	w.flag(f.Raw)
	w.flag(f.Pending)
	w.flag(f.NotSampled)
	w.u8(f.Calls)
	w.u32(f.Service)
}

func readFact(r *reader, f *Fact) {
	r.bytes(f.Span[:])
	r.bytes(f.OwnTrace[:])
	r.bytes(f.CtxTrace[:])
	r.bytes(f.CtxParent[:])
	r.bytes(f.Anchor[:])
	r.u64(&f.Host)
	r.u64(&f.Systrace)
	r.u64(&f.Pseudo)
	r.u64(&f.LateOf)
	r.i64(&f.Start)
	r.i64(&f.End)
	r.u32(&f.ReqSeq)
	r.u32(&f.RespSeq)
	for _, e := range [...]*Endpoint{&f.Local, &f.Peer} {
		r.u32(&e.Addr)
		r.u16(&e.Port)
		r.flag(&e.Untraced)
	}
	r.f32(&f.HintConfidence)
	r.u8((*uint8)(&f.Role))
	r.flag(&f.Raw)
	r.flag(&f.Pending)
	r.flag(&f.NotSampled)
	r.u8(&f.Calls)
	r.u32(&f.Service)
}

func writeRare(w *writer, r *Rare) {
	w.u64(r.Process)
	w.u64(r.RequestID)
	w.u64(r.ResponseID)
	w.u64(r.ReqChain)
	w.u64(r.RespChain)
	w.u8(r.Tap)
	w.flag(r.Foreign)
	e := &r.Exchange
	w.u32(e.PID)
	w.u32(e.Instance)
	w.u8(e.Method)
	w.u8(e.System)
	w.u8(e.Path)
	w.u8(e.Status)
	w.u64(e.Container)
	w.u64(e.Pod)
}

func readRare(c *reader, r *Rare) {
	c.u64(&r.Process)
	c.u64(&r.RequestID)
	c.u64(&r.ResponseID)
	c.u64(&r.ReqChain)
	c.u64(&r.RespChain)
	c.u8(&r.Tap)
	c.flag(&r.Foreign)
	e := &r.Exchange
	c.u32(&e.PID)
	c.u32(&e.Instance)
	c.u8(&e.Method)
	c.u8(&e.System)
	c.u8(&e.Path)
	c.u8(&e.Status)
	c.u64(&e.Container)
	c.u64(&e.Pod)
}

// ErrStored: what should be a stored fact is none.
var ErrStored = errors.New("not a stored fact")

// AppendFact appends f and what is beside it to b.
func AppendFact(b []byte, f *Fact, r *Rare) []byte {
	w := writer{b: slices.Grow(b, 2*mostStored)[:len(b)+2*mostStored], n: len(b)}
	w.begin()
	writeFact(&w, f)
	if *r == (Rare{}) {
		w.end(0)
	} else {
		w.end(hasRare)
		w.begin()
		writeRare(&w, r)
		w.end(0)
	}
	return w.b[:w.n]
}

// ReadFact reads what AppendFact wrote and returns the rest of b.
func ReadFact(b []byte) (f Fact, r Rare, rest []byte, err error) {
	c, ok := newReader(b)
	has := c.has
	c.has &^= hasRare
	readFact(&c, &f)
	ok = ok && c.done() && f.Role <= Client
	if ok && has&hasRare != 0 {
		c, ok = newReader(c.b)
		readRare(&c, &r)
		ok = ok && c.done() && r != Rare{}
	}
	if !ok {
		return Fact{}, Rare{}, nil, ErrStored
	}
	return f, r, c.b, nil
}

func newReader(b []byte) (reader, bool) {
	if len(b) < 4 {
		return reader{}, false
	}
	return reader{b: b[4:], has: binary.LittleEndian.Uint32(b)}, true
}

// mostStored is more than all fields of a fact take, or of what is beside it, and than a write past the end.
const mostStored = 256

// writer writes one field after the other, each first and then, if it is not zero, for good.
type writer struct {
	b []byte
	// n is the end of what is written, start where has goes.
	n, start int
	has      uint32
	field    uint
}

func (w *writer) begin() {
	w.start, w.has, w.field = w.n, 0, 0
	w.n += 4
}

func (w *writer) end(more uint32) { binary.LittleEndian.PutUint32(w.b[w.start:], w.has|more) }

// keep keeps the n bytes of the field if there.
func (w *writer) keep(there bool, n int) {
	if there {
		w.has |= 1 << w.field
		w.n += n
	}
	w.field++
}

func (w *writer) u64(v uint64) {
	binary.LittleEndian.PutUint64(w.b[w.n:], v)
	w.keep(v != 0, 8)
}

func (w *writer) u32(v uint32) {
	binary.LittleEndian.PutUint32(w.b[w.n:], v)
	w.keep(v != 0, 4)
}

func (w *writer) u16(v uint16) {
	binary.LittleEndian.PutUint16(w.b[w.n:], v)
	w.keep(v != 0, 2)
}

func (w *writer) u8(v uint8) {
	w.b[w.n] = v
	w.keep(v != 0, 1)
}

func (w *writer) flag(v bool) { w.keep(v, 0) }
func (w *writer) id(v SpanID) { w.u64(binary.LittleEndian.Uint64(v[:])) }
func (w *writer) trace(v *TraceID) {
	copy(w.b[w.n:], v[:])
	w.keep(*v != TraceID{}, len(v))
}

// reader reads one field after the other.
type reader struct {
	b     []byte
	has   uint32
	field uint
	short bool
}

// done: nothing was missing and nothing is there that this version does not know.
func (r *reader) done() bool { return !r.short && r.has>>r.field == 0 }

// next returns the n bytes of the field, if it is there.
func (r *reader) next(n int) (in []byte, there bool) {
	bit := uint32(1) << r.field
	r.field++
	if r.has&bit == 0 || r.short {
		return nil, false
	}
	if len(r.b) < n {
		r.short = true
		return nil, false
	}
	in, r.b = r.b[:n], r.b[n:]
	return in, true
}

func (r *reader) flag(v *bool) {
	if _, there := r.next(0); there {
		*v = true
	}
}

func (r *reader) bytes(v []byte) {
	if in, there := r.next(len(v)); there {
		copy(v, in)
	}
}

func (r *reader) u64(v *uint64) {
	if in, there := r.next(8); there {
		*v = binary.LittleEndian.Uint64(in)
	}
}

func (r *reader) i64(v *int64) {
	if in, there := r.next(8); there {
		*v = int64(binary.LittleEndian.Uint64(in))
	}
}

func (r *reader) u32(v *uint32) {
	if in, there := r.next(4); there {
		*v = binary.LittleEndian.Uint32(in)
	}
}

func (r *reader) f32(v *float32) {
	if in, there := r.next(4); there {
		*v = math.Float32frombits(binary.LittleEndian.Uint32(in))
	}
}

func (r *reader) u16(v *uint16) {
	if in, there := r.next(2); there {
		*v = binary.LittleEndian.Uint16(in)
	}
}

func (r *reader) u8(v *uint8) {
	if in, there := r.next(1); there {
		*v = in[0]
	}
}
