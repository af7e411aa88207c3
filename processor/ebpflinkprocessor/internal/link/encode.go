package link

import (
	"encoding/binary"
	"errors"
	"math"
)

// A stored fact is a bit set of the fields that are not zero, 4 bytes, and those fields in the order of
// storeFact, all little endian. What is beside it follows in the same way when hasRare is set.
const hasRare = 1 << 31

// storeFact visits each field, to write it or to read it. Fields have their place for good: a new one
// goes to the end, and an old reader takes its bit for damage.
func storeFact(c *codec, f *Fact) {
	c.bytes(f.Span[:])
	if !f.Raw || c.reading {
		// Of a raw span nothing asks for it once the span has left.
		c.bytes(f.OwnTrace[:])
	} else {
		c.skip()
	}
	c.bytes(f.CtxTrace[:])
	c.bytes(f.CtxParent[:])
	c.bytes(f.Anchor[:])
	c.u64(&f.Host)
	c.u64(&f.Systrace)
	c.u64(&f.Pseudo)
	c.u64(&f.LateOf)
	c.i64(&f.Start)
	c.i64(&f.End)
	c.u32(&f.ReqSeq)
	c.u32(&f.RespSeq)
	for _, e := range [...]*Endpoint{&f.Local, &f.Peer} {
		c.u32(&e.Addr)
		c.u16(&e.Port)
		c.flag(&e.Untraced)
	}
	c.f32(&f.HintConfidence)
	c.u8((*uint8)(&f.Role))
	c.flag(&f.Raw)
	c.flag(&f.Pending)
	c.flag(&f.NotSampled)
	c.u8(&f.Calls)
	c.u32(&f.Service)
}

func storeRare(c *codec, r *Rare) {
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
}

// ErrStored: what should be a stored fact is none.
var ErrStored = errors.New("not a stored fact")

// AppendFact appends f and what is beside it to b.
func AppendFact(b []byte, f *Fact, r *Rare) []byte {
	c := codec{b: append(b, 0, 0, 0, 0)}
	storeFact(&c, f)
	if *r != (Rare{}) {
		c.has |= hasRare
		rest := codec{b: append(c.b, 0, 0, 0, 0)}
		storeRare(&rest, r)
		binary.LittleEndian.PutUint32(rest.b[len(c.b):], rest.has)
		c.b = rest.b
	}
	binary.LittleEndian.PutUint32(c.b[len(b):], c.has)
	return c.b
}

// ReadFact reads what AppendFact wrote and returns the rest of b.
func ReadFact(b []byte) (f Fact, r Rare, rest []byte, err error) {
	c, ok := newReader(b)
	has := c.has
	c.has &^= hasRare
	storeFact(&c, &f)
	ok = ok && c.done() && f.Role <= Client
	if ok && has&hasRare != 0 {
		c, ok = newReader(c.b)
		storeRare(&c, &r)
		ok = ok && c.done() && r != Rare{}
	}
	if !ok {
		return Fact{}, Rare{}, nil, ErrStored
	}
	return f, r, c.b, nil
}

func newReader(b []byte) (codec, bool) {
	if len(b) < 4 {
		return codec{reading: true}, false
	}
	return codec{b: b[4:], has: binary.LittleEndian.Uint32(b), reading: true}, true
}

// done: nothing was missing and nothing is there that this version does not know.
func (c *codec) done() bool { return !c.short && c.has>>c.field == 0 }

// codec writes or reads one field after the other.
type codec struct {
	b       []byte
	has     uint32
	field   uint
	reading bool
	short   bool
}

func (c *codec) skip() { c.field++ }

// next says whether the field is there. When writing, zero says so; when reading, n bytes are at in.
func (c *codec) next(zero bool, n int) (in []byte, there bool) {
	bit := uint32(1) << c.field
	c.field++
	if !c.reading {
		if !zero {
			c.has |= bit
		}
		return nil, !zero
	}
	if c.has&bit == 0 || c.short {
		return nil, false
	}
	if len(c.b) < n {
		c.short = true
		return nil, false
	}
	in, c.b = c.b[:n], c.b[n:]
	return in, true
}

func (c *codec) flag(v *bool) {
	if _, there := c.next(!*v, 0); there {
		*v = true
	}
}

func (c *codec) bytes(v []byte) {
	zero := true
	if !c.reading {
		for _, x := range v {
			zero = zero && x == 0
		}
	}
	if in, there := c.next(zero, len(v)); there && c.reading {
		copy(v, in)
	} else if there {
		c.b = append(c.b, v...)
	}
}

func (c *codec) u64(v *uint64) {
	if in, there := c.next(*v == 0, 8); there && c.reading {
		*v = binary.LittleEndian.Uint64(in)
	} else if there {
		c.b = binary.LittleEndian.AppendUint64(c.b, *v)
	}
}

func (c *codec) i64(v *int64) {
	u := uint64(*v)
	c.u64(&u)
	*v = int64(u)
}

func (c *codec) u32(v *uint32) {
	if in, there := c.next(*v == 0, 4); there && c.reading {
		*v = binary.LittleEndian.Uint32(in)
	} else if there {
		c.b = binary.LittleEndian.AppendUint32(c.b, *v)
	}
}

func (c *codec) f32(v *float32) {
	u := math.Float32bits(*v)
	c.u32(&u)
	*v = math.Float32frombits(u)
}

func (c *codec) u16(v *uint16) {
	if in, there := c.next(*v == 0, 2); there && c.reading {
		*v = binary.LittleEndian.Uint16(in)
	} else if there {
		c.b = binary.LittleEndian.AppendUint16(c.b, *v)
	}
}

func (c *codec) u8(v *uint8) {
	if in, there := c.next(*v == 0, 1); there && c.reading {
		*v = in[0]
	} else if there {
		c.b = append(c.b, *v)
	}
}
