package link

import (
	"encoding/binary"
	"errors"
	"math"
)

// A stored fact is a bit set of the fields that are not zero (2 bytes), role and flags (1), and those
// fields in the order of the bits, little endian. Bits are never given another meaning: whoever stores
// facts says their version.
const (
	hasSpan = 1 << iota
	hasOwnTrace
	hasCtxTrace
	hasCtxParent
	hasAnchor
	hasHost
	hasSystrace
	hasPseudo
	hasLateOf
	hasStart
	hasEnd
	hasSeqs
	hasEndpoints
	hasHint
)

const (
	roleMask   = 3
	rawBit     = 1 << 2
	pendingBit = 1 << 3
	notSampled = 1 << 4
)

// ErrShort: what should be a stored fact ends too early.
var ErrShort = errors.New("stored fact is cut short")

// AppendFact appends f to b. OwnTrace of a raw span is left out: nothing asks for it once the span has
// left.
func AppendFact(b []byte, f *Fact) []byte {
	at := len(b)
	flags := byte(f.Role) & roleMask
	for _, x := range [...]struct {
		on  bool
		bit byte
	}{{f.Raw, rawBit}, {f.Pending, pendingBit}, {f.NotSampled, notSampled}} {
		if x.on {
			flags |= x.bit
		}
	}
	b = append(b, 0, 0, flags)
	var has uint16
	if f.Span != (SpanID{}) {
		has, b = has|hasSpan, append(b, f.Span[:]...)
	}
	if !f.Raw && f.OwnTrace != (TraceID{}) {
		has, b = has|hasOwnTrace, append(b, f.OwnTrace[:]...)
	}
	if f.CtxTrace != (TraceID{}) {
		has, b = has|hasCtxTrace, append(b, f.CtxTrace[:]...)
	}
	if f.CtxParent != (SpanID{}) {
		has, b = has|hasCtxParent, append(b, f.CtxParent[:]...)
	}
	if f.Anchor != (SpanID{}) {
		has, b = has|hasAnchor, append(b, f.Anchor[:]...)
	}
	for i, v := range [...]uint64{f.Host, f.Systrace, f.Pseudo, f.LateOf, uint64(f.Start), uint64(f.End)} {
		if v != 0 {
			has, b = has|hasHost<<i, binary.LittleEndian.AppendUint64(b, v)
		}
	}
	if f.ReqSeq != 0 || f.RespSeq != 0 {
		has, b = has|hasSeqs, binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, f.ReqSeq), f.RespSeq)
	}
	if f.Local != (Endpoint{}) || f.Peer != (Endpoint{}) {
		has |= hasEndpoints
		for _, e := range [...]Endpoint{f.Local, f.Peer} {
			b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint32(b, e.Addr), e.Port)
		}
	}
	if f.HintConfidence != 0 {
		has, b = has|hasHint, binary.LittleEndian.AppendUint32(b, math.Float32bits(f.HintConfidence))
	}
	binary.LittleEndian.PutUint16(b[at:], has)
	return b
}

// ReadFact reads what AppendFact wrote and returns the rest of b.
func ReadFact(b []byte) (f Fact, rest []byte, err error) {
	if len(b) < 3 {
		return f, nil, ErrShort
	}
	has, flags := binary.LittleEndian.Uint16(b), b[2]
	f.Role = Role(flags & roleMask)
	f.Raw, f.Pending, f.NotSampled = flags&rawBit != 0, flags&pendingBit != 0, flags&notSampled != 0
	r := reader{b: b[3:], has: has}
	copy(f.Span[:], r.take(hasSpan, 8))
	copy(f.OwnTrace[:], r.take(hasOwnTrace, 16))
	copy(f.CtxTrace[:], r.take(hasCtxTrace, 16))
	copy(f.CtxParent[:], r.take(hasCtxParent, 8))
	copy(f.Anchor[:], r.take(hasAnchor, 8))
	var words [6]uint64
	for i := range words {
		if v := r.take(hasHost<<i, 8); v != nil {
			words[i] = binary.LittleEndian.Uint64(v)
		}
	}
	f.Host, f.Systrace, f.Pseudo, f.LateOf = words[0], words[1], words[2], words[3]
	f.Start, f.End = int64(words[4]), int64(words[5])
	if v := r.take(hasSeqs, 8); v != nil {
		f.ReqSeq, f.RespSeq = binary.LittleEndian.Uint32(v), binary.LittleEndian.Uint32(v[4:])
	}
	if v := r.take(hasEndpoints, 12); v != nil {
		f.Local = Endpoint{binary.LittleEndian.Uint32(v), binary.LittleEndian.Uint16(v[4:])}
		f.Peer = Endpoint{binary.LittleEndian.Uint32(v[6:]), binary.LittleEndian.Uint16(v[10:])}
	}
	if v := r.take(hasHint, 4); v != nil {
		f.HintConfidence = math.Float32frombits(binary.LittleEndian.Uint32(v))
	}
	if r.short {
		return Fact{}, nil, ErrShort
	}
	return f, r.b, nil
}

// reader takes the fields that are there off a stored fact.
type reader struct {
	b     []byte
	has   uint16
	short bool
}

func (r *reader) take(bit uint16, n int) []byte {
	if r.has&bit == 0 || r.short {
		return nil
	}
	if len(r.b) < n {
		r.short = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}
