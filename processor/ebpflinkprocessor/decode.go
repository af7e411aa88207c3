package ebpflinkprocessor

import (
	"fmt"
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/block"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/splice"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
)

// decoder makes pdata of encoded spans: of blocks, and of OTLP, which is what a batch with an unusual span
// waits as. pdata's own decoder makes 32 allocations for a span of ten attributes: each key and each string
// is one, and the attributes are moved five times as they grow. This one makes 13: the strings of a span are
// parts of one copy of its bytes. It knows what nearly all spans consist of and leaves those with anything
// else to pdata.
type decoder struct {
	blocks block.Reader
	slow   ptrace.ProtoUnmarshaler
	cut    splice.Cut
	// attributes is how many the last span had: room for as many, and for those of linking.
	attributes int
	// every has the numbers from 0.
	every []uint32
}

const linkAttributes = 3

func newDecoder() decoder {
	return decoder{blocks: block.Reader{Strip: rawspan.IsLinkAttr, Room: linkAttributes, Share: block.CanShare()}}
}

// take appends the spans of an encoded batch at the given ordinals to td, in order; stripped says for each
// of them whether it comes without link attributes.
func (d *decoder) take(td ptrace.Traces, payload []byte, ordinals []uint32, stripped []bool) error {
	if block.Is(payload) {
		if err := d.blocks.Take(td, payload, ordinals, stripped); err != nil {
			return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
		}
		return nil
	}
	return d.takeOTLP(td, payload, ordinals, stripped)
}

// all decodes a whole batch.
func (d *decoder) all(payload []byte) (ptrace.Traces, error) {
	if !block.Is(payload) {
		return d.slow.UnmarshalTraces(payload)
	}
	td := ptrace.NewTraces()
	n, err := block.Count(payload)
	if err != nil {
		return td, err
	}
	for len(d.every) < n {
		d.every = append(d.every, uint32(len(d.every)))
	}
	return td, d.blocks.Take(td, payload, d.every[:n], nil)
}

func (d *decoder) takeOTLP(td ptrace.Traces, payload []byte, ordinals []uint32, stripped []bool) error {
	found, err := d.cut.Take(payload, ordinals)
	if err == nil && found < len(ordinals) {
		err = fmt.Errorf("span %d is not in it", ordinals[found])
	}
	var part ptrace.Traces
	if err == nil {
		part, err = d.slow.UnmarshalTraces(d.cut.Frame)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	scopes, spans := d.cut.Scopes, d.cut.Spans
	for _, rs := range part.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			if len(scopes) == 0 {
				return fmt.Errorf("%w: a scope without spans", store.ErrCorrupt)
			}
			dst := ss.Spans()
			dst.EnsureCapacity(scopes[0])
			for i, b := range spans[:scopes[0]] {
				s := dst.AppendEmpty()
				if err := d.span(s, b); err != nil {
					return err
				}
				if stripped[i] {
					s.Attributes().RemoveIf(func(k string, _ pcommon.Value) bool { return rawspan.IsLinkAttr(k) })
				}
			}
			scopes, spans, stripped = scopes[1:], spans[scopes[0]:], stripped[scopes[0]:]
		}
	}
	part.ResourceSpans().MoveAndAppendTo(td.ResourceSpans())
	return nil
}

// span decodes b to dst, which is empty.
func (d *decoder) span(dst ptrace.Span, b []byte) error {
	if d.usual(dst, string(b)) {
		return nil
	}
	td, err := d.slow.UnmarshalTraces(splice.Wrap(b))
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).MoveTo(dst)
	return nil
}

// usual decodes a span that has nothing but what most have, else it returns false and dst is anything.
// The field numbers are those of opentelemetry/proto/trace/v1/trace.proto.
func (d *decoder) usual(dst ptrace.Span, s string) bool {
	attrs := dst.Attributes()
	attrs.EnsureCapacity(d.attributes + linkAttributes)
	for len(s) > 0 {
		tag, body, n, rest, ok := wireField(s)
		if !ok {
			return false
		}
		s = rest
		switch tag {
		case 1<<3 | wireLen:
			var id pcommon.TraceID
			ok = readID(id[:], body)
			dst.SetTraceID(id)
		case 2<<3 | wireLen:
			var id pcommon.SpanID
			ok = readID(id[:], body)
			dst.SetSpanID(id)
		case 3<<3 | wireLen:
			dst.TraceState().FromRaw(body)
		case 4<<3 | wireLen:
			var id pcommon.SpanID
			ok = readID(id[:], body)
			dst.SetParentSpanID(id)
		case 5<<3 | wireLen:
			dst.SetName(body)
		case 6<<3 | wireVarint:
			dst.SetKind(ptrace.SpanKind(n))
		case 7<<3 | wire64:
			dst.SetStartTimestamp(pcommon.Timestamp(n))
		case 8<<3 | wire64:
			dst.SetEndTimestamp(pcommon.Timestamp(n))
		case 9<<3 | wireLen:
			ok = usualAttribute(attrs, body)
		case 10<<3 | wireVarint:
			dst.SetDroppedAttributesCount(uint32(n))
		case 12<<3 | wireVarint:
			dst.SetDroppedEventsCount(uint32(n))
		case 14<<3 | wireVarint:
			dst.SetDroppedLinksCount(uint32(n))
		case 15<<3 | wireLen:
			ok = usualStatus(dst.Status(), body)
		case 16<<3 | wire32:
			dst.SetFlags(uint32(n))
		default:
			return false
		}
		if !ok {
			return false
		}
	}
	d.attributes = min(attrs.Len(), 64)
	return true
}

// readID reads an id, which is absent when it is empty.
func readID(dst []byte, s string) bool { return s == "" || len(s) == len(dst) && copy(dst, s) > 0 }

func usualStatus(dst ptrace.Status, s string) bool {
	for len(s) > 0 {
		tag, body, n, rest, ok := wireField(s)
		if !ok {
			return false
		}
		s = rest
		switch tag {
		case 2<<3 | wireLen:
			dst.SetMessage(body)
		case 3<<3 | wireVarint:
			dst.SetCode(ptrace.StatusCode(n))
		default:
			return false
		}
	}
	return true
}

// usualAttribute decodes a KeyValue with a string, a number, a boolean or a list of strings.
func usualAttribute(dst pcommon.Map, s string) bool {
	key, value := "", ""
	for len(s) > 0 {
		tag, body, _, rest, ok := wireField(s)
		if !ok {
			return false
		}
		s = rest
		switch {
		case tag == 1<<3|wireLen && key == "":
			key = body
		case tag == 2<<3|wireLen && value == "":
			value = body
		default:
			return false
		}
	}
	tag, body, n, rest, ok := wireField(value)
	if !ok || rest != "" {
		return false
	}
	before := dst.Len()
	switch tag {
	case 1<<3 | wireLen:
		dst.PutStr(key, body)
	case 2<<3 | wireVarint:
		dst.PutBool(key, n != 0)
	case 3<<3 | wireVarint:
		dst.PutInt(key, int64(n))
	case 4<<3 | wire64:
		dst.PutDouble(key, math.Float64frombits(n))
	case 5<<3 | wireLen:
		if !usualStrings(dst.PutEmptySlice(key), body) {
			return false
		}
	default:
		return false
	}
	// pdata would keep an attribute that is there twice.
	return dst.Len() > before
}

// usualStrings decodes an ArrayValue of strings.
func usualStrings(dst pcommon.Slice, s string) bool {
	for len(s) > 0 {
		tag, element, _, rest, ok := wireField(s)
		if !ok || tag != 1<<3|wireLen {
			return false
		}
		s = rest
		tag, body, _, rest, ok := wireField(element)
		if !ok || tag != 1<<3|wireLen || rest != "" {
			return false
		}
		dst.AppendEmpty().SetStr(body)
	}
	return true
}

// Wire types of Protocol Buffers.
const (
	wireVarint = 0
	wire64     = 1
	wireLen    = 2
	wire32     = 5
)

// wireField takes the first field off s: its bytes, or its number.
func wireField(s string) (tag uint64, body string, n uint64, rest string, ok bool) {
	if tag, s, ok = wireNumber(s); !ok {
		return 0, "", 0, "", false
	}
	switch tag & 7 {
	case wireVarint:
		n, s, ok = wireNumber(s)
	case wire64:
		if ok = len(s) >= 8; ok {
			n = uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
				uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
			s = s[8:]
		}
	case wireLen:
		if n, s, ok = wireNumber(s); ok {
			if ok = n <= uint64(len(s)); ok {
				body, s = s[:n], s[n:]
			}
		}
	case wire32:
		if ok = len(s) >= 4; ok {
			n = uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
			s = s[4:]
		}
	default:
		ok = false
	}
	return tag, body, n, s, ok
}

// wireNumber takes a varint off s.
func wireNumber(s string) (n uint64, rest string, ok bool) {
	if len(s) > 0 && s[0] < 0x80 {
		return uint64(s[0]), s[1:], true
	}
	for i := 0; i < len(s) && i < 10; i++ {
		n |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return n, s[i+1:], true
		}
	}
	return 0, "", false
}
