package block

import (
	"encoding/binary"
	"fmt"
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Reader makes pdata of blocks. It can be used again.
type Reader struct {
	// Strip says which keys are not for everyone.
	Strip func(key string) bool
	// Room is for how many more attributes each span gets room.
	Room int

	words  []string
	strip  []bool
	counts []int
	// kept is how many attributes the last stripped span had.
	kept int
	dec  ptrace.ProtoUnmarshaler
}

// Take appends the spans at the given ordinals, which ascend, to td. Ordinals count the spans in the order in
// which they were written. stripped, when it is not nil, says for each of them whether it comes without
// the attributes that Strip names. The strings of a span are parts of one copy of it, and words.
func (r *Reader) Take(td ptrace.Traces, block []byte, ordinals []uint32, stripped []bool) error {
	p, err := parse(block)
	if err != nil {
		return err
	}
	if !r.readWords(p.words, p.wordCount) {
		return ErrMalformed
	}
	lengths, resources := cursor{b: p.lengths}, cursor{b: p.resources}
	spans := p.spans
	at, taken := uint32(0), 0
	for range p.resourceCount {
		if taken == len(ordinals) {
			return nil
		}
		total, frame, ok := r.scopes(&resources)
		if !ok {
			return ErrMalformed
		}
		if uint64(ordinals[taken]) >= uint64(at)+uint64(total) {
			for range total {
				n := lengths.number()
				if n > uint64(len(spans)) {
					return ErrMalformed
				}
				spans = spans[n:]
			}
			at += uint32(total)
			continue
		}
		part, err := r.dec.UnmarshalTraces(frame)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if part.ResourceSpans().Len() != 1 || part.ResourceSpans().At(0).ScopeSpans().Len() != len(r.counts) {
			return ErrMalformed
		}
		scopes := part.ResourceSpans().At(0).ScopeSpans()
		for i, count := range r.counts {
			dst, wanted := scopes.At(i).Spans(), ordinals[taken:]
			n := 0
			for n < len(wanted) && uint64(wanted[n]) < uint64(at)+uint64(count) {
				n++
			}
			wanted = wanted[:n]
			dst.EnsureCapacity(len(wanted))
			for range count {
				n := lengths.number()
				if n > uint64(len(spans)) {
					return ErrMalformed
				}
				if len(wanted) > 0 && wanted[0] == at {
					if !r.span(dst.AppendEmpty(), string(spans[:n]), stripped != nil && stripped[taken]) {
						return ErrMalformed
					}
					wanted = wanted[1:]
					taken++
				}
				spans = spans[n:]
				at++
			}
		}
		scopes.RemoveIf(func(ss ptrace.ScopeSpans) bool { return ss.Spans().Len() == 0 })
		part.ResourceSpans().MoveAndAppendTo(td.ResourceSpans())
	}
	if taken < len(ordinals) {
		return fmt.Errorf("%w: span %d is not in it", ErrMalformed, ordinals[taken])
	}
	return nil
}

// Count returns how many spans a block has.
func Count(block []byte) (int, error) {
	p, err := parse(block)
	return p.spanCount, err
}

// parts are the sections of a block.
type parts struct {
	spans, lengths, resources, words    []byte
	spanCount, resourceCount, wordCount int
}

func parse(block []byte) (p parts, err error) {
	if !Is(block) || len(block) < 1+trailerSize {
		return p, ErrMalformed
	}
	end := len(block) - trailerSize
	var n [6]int
	for i := range n {
		n[i] = int(binary.LittleEndian.Uint32(block[end+4*i:]))
	}
	if n[3] < 1 || n[4] < n[3] || n[5] < n[4] || end < n[5] {
		return p, ErrMalformed
	}
	p = parts{block[1:n[3]], block[n[3]:n[4]], block[n[4]:n[5]], block[n[5]:end], n[0], n[1], n[2]}
	// Each has a length of a byte at least.
	if p.spanCount > len(p.lengths) || p.resourceCount > len(p.resources) || p.wordCount > len(p.words) {
		return p, ErrMalformed
	}
	return p, nil
}

func (r *Reader) readWords(b []byte, n int) bool {
	c := texts{s: string(b)}
	r.words, r.strip = r.words[:0], r.strip[:0]
	for range n {
		w := c.bytes(c.number())
		r.words = append(r.words, w)
		r.strip = append(r.strip, r.Strip != nil && r.Strip(w))
	}
	return !c.bad
}

// scopes reads how many spans each scope of a resource has to counts, and its frame.
func (r *Reader) scopes(c *cursor) (total int, frame []byte, ok bool) {
	n := c.number()
	r.counts = r.counts[:0]
	for ; n > 0 && !c.bad; n-- {
		count := c.number()
		if count > math.MaxInt32 || total > math.MaxInt32 {
			return 0, nil, false
		}
		r.counts = append(r.counts, int(count))
		total += int(count)
	}
	size := c.number()
	if c.bad || size > uint64(len(c.b)) {
		return 0, nil, false
	}
	frame, c.b = c.b[:size], c.b[size:]
	return total, frame, true
}

// span decodes s to dst, which is empty.
func (r *Reader) span(dst ptrace.Span, s string, strip bool) bool {
	c := texts{s: s}
	what := byte(0)
	if w := c.bytes(1); !c.bad {
		what = w[0]
	}
	if what&hasTrace != 0 {
		var id pcommon.TraceID
		copy(id[:], c.bytes(uint64(len(id))))
		dst.SetTraceID(id)
	}
	if what&hasSpan != 0 {
		var id pcommon.SpanID
		copy(id[:], c.bytes(uint64(len(id))))
		dst.SetSpanID(id)
	}
	if what&hasParent != 0 {
		var id pcommon.SpanID
		copy(id[:], c.bytes(uint64(len(id))))
		dst.SetParentSpanID(id)
	}
	if what&hasState != 0 {
		dst.TraceState().FromRaw(r.text(&c))
	}
	if what&hasFlags != 0 {
		dst.SetFlags(uint32(c.number()))
	}
	if what&hasStatus != 0 {
		dst.Status().SetCode(ptrace.StatusCode(unzigzag(c.number())))
		dst.Status().SetMessage(r.text(&c))
	}
	if what&hasDropped != 0 {
		dst.SetDroppedAttributesCount(uint32(c.number()))
		dst.SetDroppedEventsCount(uint32(c.number()))
		dst.SetDroppedLinksCount(uint32(c.number()))
	}
	dst.SetName(r.text(&c))
	dst.SetKind(ptrace.SpanKind(unzigzag(c.number())))
	start := c.fixed()
	dst.SetStartTimestamp(pcommon.Timestamp(start))
	dst.SetEndTimestamp(pcommon.Timestamp(start + uint64(unzigzag(c.number()))))
	n := c.number()
	// An attribute has two bytes at least.
	if c.bad || n > uint64(len(c.s)) {
		return false
	}
	return r.attributes(dst.Attributes(), &c, int(n), strip) && c.s == "" && !c.bad
}

func (r *Reader) attributes(dst pcommon.Map, c *texts, n int, strip bool) bool {
	room := n
	if strip {
		room = min(n, r.kept)
		defer func() { r.kept = dst.Len() }()
	}
	dst.EnsureCapacity(room + r.Room)
	for range n {
		tag := c.number()
		if tag>>3 >= uint64(len(r.words)) {
			return false
		}
		key, skip := r.words[tag>>3], strip && r.strip[tag>>3]
		switch tag & 7 {
		case typeString:
			if v := r.text(c); !skip {
				dst.PutStr(key, v)
			}
		case typeInt:
			if v := unzigzag(c.number()); !skip {
				dst.PutInt(key, v)
			}
		case typeFalse, typeTrue:
			if !skip {
				dst.PutBool(key, tag&7 == typeTrue)
			}
		case typeDouble:
			if v := c.fixed(); !skip {
				dst.PutDouble(key, math.Float64frombits(v))
			}
		case typeStrings:
			count := c.number()
			if count > uint64(len(c.s)) {
				return false
			}
			var list pcommon.Slice
			if !skip {
				list = dst.PutEmptySlice(key)
				list.EnsureCapacity(int(count))
			}
			for range count {
				if v := r.text(c); !skip {
					list.AppendEmpty().SetStr(v)
				}
			}
		default:
			return false
		}
		if c.bad {
			return false
		}
	}
	return true
}

// text reads a text.
func (r *Reader) text(c *texts) string {
	n := c.number()
	if n&1 == 0 {
		return c.bytes(n >> 1)
	}
	if n>>1 >= uint64(len(r.words)) {
		c.bad = true
		return ""
	}
	return r.words[n>>1]
}

// cursor reads numbers; bad once there is none.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) number() uint64 {
	n, size := binary.Uvarint(c.b)
	if size <= 0 {
		c.bad, c.b = true, nil
		return math.MaxUint64
	}
	c.b = c.b[size:]
	return n
}

// texts reads numbers and strings, which are parts of s; bad once there are none.
type texts struct {
	s   string
	bad bool
}

func (c *texts) number() uint64 {
	if len(c.s) > 0 && c.s[0] < 0x80 {
		n := uint64(c.s[0])
		c.s = c.s[1:]
		return n
	}
	return c.long()
}

func (c *texts) long() (n uint64) {
	for i := 0; i < len(c.s) && i < binary.MaxVarintLen64; i++ {
		n |= uint64(c.s[i]&0x7f) << (7 * i)
		if c.s[i] < 0x80 {
			c.s = c.s[i+1:]
			return n
		}
	}
	c.bad, c.s = true, ""
	return 0
}

func (c *texts) bytes(n uint64) string {
	if n > uint64(len(c.s)) {
		c.bad, c.s = true, ""
		return ""
	}
	s := c.s[:n]
	c.s = c.s[n:]
	return s
}

func (c *texts) fixed() (n uint64) {
	s := c.bytes(8)
	if len(s) < 8 {
		return 0
	}
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}
