package block

import (
	"encoding/binary"
	"fmt"
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/xpdata"
)

// Reader makes pdata of blocks. It can be used again.
type Reader struct {
	// Strip says which keys are not for everyone.
	Strip func(key string) bool
	// Room is for how many more attributes each span gets room.
	Room int
	// Share: equal values may be one object, as CanShare says.
	Share bool

	words []readWord
	// reading is the number of the span that is read.
	reading uint32
	counts  []int
	// With Share, pairs are the attributes of the span that is read, made in room. Else attrs has them: it takes no
	// time to look whether an attribute is there already.
	pairs []pair
	room  room
	attrs xpdata.MapBuilder
	// kept is how many attributes the last stripped span had.
	kept int
	dec  ptrace.ProtoUnmarshaler
}

// readWord is a text that has a number.
type readWord struct {
	text string
	// value is the text as a value, once an attribute had it.
	value Shared
	// As a key: whether it is not for everyone, the number of the last span that has it, and its last integer.
	strip   bool
	met     uint32
	integer Recent[int64]
}

// Take appends the spans at the given ordinals, which ascend, to td. Ordinals count the spans in the order in
// which they were written. stripped, when it is not nil, says for each of them whether it comes without
// the attributes that Strip names. The strings of a span are words, and parts of one copy of what of it follows
// the first that is none.
func (r *Reader) Take(td ptrace.Traces, block []byte, ordinals []uint32, stripped []bool) error {
	p, err := parse(block)
	if err != nil {
		return err
	}
	if !r.readWords(p.words, p.wordCount) {
		return ErrMalformed
	}
	if r.Share {
		r.room.open()
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
				if lengths.bad || n > uint64(len(spans)) {
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
			if dst.Len() > 0 { // spans are beside the frame
				return ErrMalformed
			}
			dst.EnsureCapacity(len(wanted))
			for range count {
				n := lengths.number()
				if lengths.bad || n > uint64(len(spans)) {
					return ErrMalformed
				}
				if len(wanted) > 0 && wanted[0] == at {
					if !r.span(dst.AppendEmpty(), spans[:n], stripped != nil && stripped[taken]) {
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
	c := cursor{b: b}
	r.words, r.reading = r.words[:0], 0
	for range n {
		w := c.text(c.number())
		r.words = append(r.words, readWord{text: w, strip: r.Strip != nil && r.Strip(w)})
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
	frame = c.bytes(c.number())
	return total, frame, !c.bad
}

// span decodes b to dst, which is empty.
func (r *Reader) span(dst ptrace.Span, b []byte, strip bool) bool {
	c := cursor{b: b}
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
	if c.bad || n > uint64(len(b)) {
		return false
	}
	ok := r.attributes(&c, int(n), strip) && c.at == len(b) && !c.bad
	if attrs := dst.Attributes(); r.Share {
		*pairsOf(&attrs), r.pairs = r.pairs, nil
	} else {
		r.attrs.UnsafeIntoMap(attrs)
	}
	if strip {
		r.kept = dst.Attributes().Len()
	}
	return ok
}

// attributes reads n attributes.
func (r *Reader) attributes(c *cursor, n int, strip bool) bool {
	room := n
	if strip {
		room = min(n, r.kept)
	}
	if r.Share {
		r.pairs = r.room.attributes(room + r.Room)
	} else {
		r.attrs.EnsureCapacity(room + r.Room)
	}
	r.reading++
	for range n {
		tag, ok := c.digit()
		if !ok {
			tag = c.number()
		}
		if tag>>3 >= uint64(len(r.words)) {
			return false
		}
		w := &r.words[tag>>3]
		if w.met == r.reading {
			return false
		}
		w.met = r.reading
		key, skip := w.text, strip && w.strip
		switch tag & 7 {
		case typeString:
			switch {
			case skip:
				r.skip(c)
			case r.Share:
				*add(&r.pairs, key) = r.value(c)
			default:
				r.attrs.AppendEmpty(key).SetStr(r.text(c))
			}
		case typeInt:
			switch v := unzigzag(c.number()); {
			case skip:
			case r.Share:
				if !w.integer.was(v) {
					w.integer.last, w.integer.value = v, r.room.integer(v)
				}
				*add(&r.pairs, key) = w.integer.value
			default:
				r.attrs.AppendEmpty(key).SetInt(v)
			}
		case typeFalse, typeTrue:
			if !skip {
				r.appendEmpty(key).SetBool(tag&7 == typeTrue)
			}
		case typeDouble:
			if v := c.fixed(); !skip {
				r.appendEmpty(key).SetDouble(math.Float64frombits(v))
			}
		case typeStrings:
			count := c.number()
			if count > uint64(len(c.b)) {
				return false
			}
			var list pcommon.Slice
			if !skip {
				list = r.appendEmpty(key).SetEmptySlice()
				list.EnsureCapacity(int(count))
			}
			for range count {
				if skip {
					r.skip(c)
				} else {
					list.AppendEmpty().SetStr(r.text(c))
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

// appendEmpty appends an attribute without a value.
func (r *Reader) appendEmpty(key string) pcommon.Value {
	if !r.Share {
		return r.attrs.AppendEmpty(key)
	}
	return r.room.value(add(&r.pairs, key))
}

// text reads a text.
func (r *Reader) text(c *cursor) string {
	n := c.number()
	if n&1 == 0 {
		return c.text(n >> 1)
	}
	if n>>1 >= uint64(len(r.words)) {
		c.bad = true
		return ""
	}
	return r.words[n>>1].text
}

// value reads a text as a value.
func (r *Reader) value(c *cursor) Shared {
	n, ok := c.digit()
	if !ok {
		n = c.number()
	}
	if n&1 == 0 {
		return r.room.text(c.text(n >> 1))
	}
	if n>>1 >= uint64(len(r.words)) {
		c.bad = true
		return Shared{}
	}
	w := &r.words[n>>1]
	if w.value.object == nil {
		w.value = r.room.text(w.text)
	}
	return w.value
}

// skip passes over a text.
func (r *Reader) skip(c *cursor) {
	if n := c.number(); n&1 == 0 {
		c.bytes(n >> 1)
	}
}

// cursor reads numbers, bytes and texts; bad once there are none.
type cursor struct {
	b  []byte
	at int
	// copied is a copy of b from the first text on.
	copied string
	bad    bool
}

func (c *cursor) fail() {
	c.bad, c.at = true, len(c.b)
}

func (c *cursor) number() uint64 {
	if n, ok := c.digit(); ok {
		return n
	}
	n, size := binary.Uvarint(c.b[c.at:])
	if size <= 0 {
		c.fail()
		return 0
	}
	c.at += size
	return n
}

// digit reads a number of one byte, which most are, without a call.
func (c *cursor) digit() (n uint64, ok bool) {
	if c.at < len(c.b) && c.b[c.at] < 0x80 {
		c.at++
		return uint64(c.b[c.at-1]), true
	}
	return 0, false
}

func (c *cursor) bytes(n uint64) []byte {
	if n > uint64(len(c.b)-c.at) {
		c.fail()
		return nil
	}
	c.at += int(n)
	return c.b[c.at-int(n) : c.at]
}

func (c *cursor) text(n uint64) string {
	if n == 0 || c.bytes(n) == nil {
		return ""
	}
	if c.copied == "" {
		c.copied = string(c.b[c.at-int(n):])
	}
	end := len(c.copied) - (len(c.b) - c.at)
	return c.copied[end-int(n) : end]
}

func (c *cursor) fixed() uint64 {
	b := c.bytes(8)
	if len(b) < 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}
