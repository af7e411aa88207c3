package block

import (
	"encoding/binary"
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Writer makes blocks. It can be used again; what it made is valid until then.
type Writer struct {
	// Share: values are objects that attributes may share, as CanShare says, so they can be read without pdata.
	Share bool

	// before is the number of the last key.
	before  uint32
	room    room
	b       []byte
	lengths []byte
	words   []word
	index   map[string]uint32
	size    int
	span    uint32
	name    habit
	enc     ptrace.ProtoMarshaler
	visitor Visitor
	picks   []Pick
}

// Visitor reads a batch while it is written: what is asked for of the attributes is found by the numbers of their
// keys, and not by their texts a second time.
type Visitor interface {
	// Pick says whether the values of a key are asked for: it returns what they are picked as, or 0.
	Pick(key string) uint8
	// Resource and Scope announce those of the spans that follow.
	Resource(ptrace.ResourceSpans)
	Scope(ptrace.ScopeSpans)
	// Span gives a span; picks are valid during the call, and in the order of the attributes.
	Span(s ptrace.Span, picks []Pick)
}

// Pick is an attribute that is asked for.
type Pick struct {
	As    uint8
	Value pcommon.Value
}

// word is a text that has a number.
type word struct {
	text string
	// As a key: next is the key that came after it, span that of the last span that has it, value what it
	// had there.
	next, span uint32
	value      habit
	// pick is what the visitor picks its values as.
	pick uint8
}

// habit guesses the next text in a place by those before: most places have few different ones, or none twice.
type habit struct {
	// word is the last word that was there.
	word uint32
	// once is a text that is no word as it was there only once.
	once string
}

// Write encodes td and shows its spans to v, unless that is nil. It returns false for spans with anything that a
// block has no place for; v has seen those before it.
func (w *Writer) Write(td ptrace.Traces, v Visitor) (b []byte, ok bool, err error) {
	w.visitor = v
	defer w.forget()
	if w.Share {
		w.room.open()
	}
	if w.index == nil {
		w.index = map[string]uint32{}
	}
	// Word 0 is what comes before the first key of a span.
	w.words, w.index[""] = append(w.words, word{}), 0
	w.b, w.lengths = append(w.b[:0], first), w.lengths[:0]
	for _, rs := range td.ResourceSpans().All() {
		if v != nil {
			v.Resource(rs)
		}
		for _, ss := range rs.ScopeSpans().All() {
			if v != nil {
				v.Scope(ss)
			}
			spans := ss.Spans()
			for i := range spans.Len() {
				w.span++
				begin := len(w.b)
				s := spans.At(i)
				if !w.write(s) {
					return nil, false, nil
				}
				if v != nil {
					v.Span(s, w.picks)
				}
				w.lengths = appendNumber(w.lengths, uint64(len(w.b)-begin))
			}
		}
	}
	atLengths := len(w.b)
	w.b = append(w.b, w.lengths...)
	atResources := len(w.b)
	for _, rs := range td.ResourceSpans().All() {
		if err := w.resource(rs); err != nil {
			return nil, false, err
		}
	}
	atWords := len(w.b)
	for i := range w.words {
		w.b = append(appendNumber(w.b, uint64(len(w.words[i].text))), w.words[i].text...)
	}
	if len(w.b) > math.MaxInt32 {
		return nil, false, nil
	}
	for _, n := range [...]int{int(w.span), td.ResourceSpans().Len(), len(w.words), atLengths, atResources, atWords} {
		w.b = binary.LittleEndian.AppendUint32(w.b, uint32(n))
	}
	return w.b, true, nil
}

// mostKept and mostKeptWords are how much room one block leaves to the next. Clearing the words takes as long as
// there ever were many.
const (
	mostKept      = 1 << 20
	mostKeptWords = 512
)

// forget lets go of the texts of the batch.
func (w *Writer) forget() {
	clear(w.words)
	clear(w.index)
	clear(w.picks[:cap(w.picks)])
	w.picks, w.visitor = w.picks[:0], nil
	w.words, w.size, w.span, w.name = w.words[:0], 0, 0, habit{}
	if cap(w.words) > mostKeptWords {
		w.words, w.index = nil, nil
	}
	if cap(w.b) > mostKept {
		w.b = nil
	}
	if cap(w.picks) > mostKeptWords {
		w.picks = nil
	}
}

func (w *Writer) resource(rs ptrace.ResourceSpans) error {
	w.b = appendNumber(w.b, uint64(rs.ScopeSpans().Len()))
	frame := ptrace.NewTraces()
	dst := frame.ResourceSpans().AppendEmpty()
	rs.Resource().CopyTo(dst.Resource())
	dst.SetSchemaUrl(rs.SchemaUrl())
	for _, ss := range rs.ScopeSpans().All() {
		w.b = appendNumber(w.b, uint64(ss.Spans().Len()))
		d := dst.ScopeSpans().AppendEmpty()
		ss.Scope().CopyTo(d.Scope())
		d.SetSchemaUrl(ss.SchemaUrl())
	}
	b, err := w.enc.MarshalTraces(frame)
	w.b = append(appendNumber(w.b, uint64(len(b))), b...)
	return err
}

// write appends a span.
func (w *Writer) write(s ptrace.Span) bool {
	if s.Events().Len() > 0 || s.Links().Len() > 0 {
		return false
	}
	at := len(w.b)
	what := byte(0)
	b := append(w.b, 0)
	if id := s.TraceID(); id != (pcommon.TraceID{}) {
		what |= hasTrace
		b = append(b, id[:]...)
	}
	if id := s.SpanID(); id != (pcommon.SpanID{}) {
		what |= hasSpan
		b = append(b, id[:]...)
	}
	if id := s.ParentSpanID(); id != (pcommon.SpanID{}) {
		what |= hasParent
		b = append(b, id[:]...)
	}
	if state := s.TraceState().AsRaw(); state != "" {
		what |= hasState
		b = literal(b, state)
	}
	if n := s.Flags(); n != 0 {
		what |= hasFlags
		b = appendNumber(b, uint64(n))
	}
	if st := s.Status(); st.Code() != 0 || st.Message() != "" {
		what |= hasStatus
		b = literal(appendNumber(b, zigzag(int64(st.Code()))), st.Message())
	}
	if x, y, z := s.DroppedAttributesCount(), s.DroppedEventsCount(), s.DroppedLinksCount(); x|y|z != 0 {
		what |= hasDropped
		b = appendNumber(appendNumber(appendNumber(b, uint64(x)), uint64(y)), uint64(z))
	}
	b[at] = what
	b = w.text(b, &w.name, s.Name())
	b = appendNumber(b, zigzag(int64(s.Kind())))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.StartTimestamp()))
	b = appendNumber(b, zigzag(int64(s.EndTimestamp()-s.StartTimestamp())))
	attrs := s.Attributes()
	b = appendNumber(b, uint64(attrs.Len()))
	w.picks, w.before = w.picks[:0], 0
	ok := true
	if w.Share {
		b, ok = w.pairs(b, *pairsOf(&attrs))
	} else {
		for k, v := range attrs.All() {
			if b, ok = w.attribute(b, k, v); !ok {
				break
			}
		}
	}
	if ok {
		w.b = b
	}
	return ok
}

// pairs appends attributes. Text and integers, which nearly all are, are read without asking pdata.
func (w *Writer) pairs(b []byte, ps []pair) (_ []byte, ok bool) {
	aText, anInt := w.room.aText.kind(), w.room.anInt.kind()
	for i := range ps {
		p := &ps[i]
		kind := p.value.kind()
		if kind != aText && kind != anInt {
			if b, ok = w.attribute(b, p.key, w.room.value(&p.value)); !ok {
				return nil, false
			}
			continue
		}
		n, ok := w.next(p.key)
		if !ok {
			return nil, false
		}
		if as := w.words[n].pick; as != 0 {
			w.picks = append(w.picks, Pick{as, w.room.value(&p.value)})
		}
		if kind == aText {
			b = w.textOf(b, n, *(*string)(p.value.place()))
		} else {
			b = appendNumber(appendNumber(b, uint64(n)<<3|typeInt), zigzag(*(*int64)(p.value.place())))
		}
	}
	return b, true
}

// attribute appends an attribute.
func (w *Writer) attribute(b []byte, k string, v pcommon.Value) (_ []byte, ok bool) {
	n, ok := w.next(k)
	if !ok {
		return nil, false
	}
	if as := w.words[n].pick; as != 0 {
		w.picks = append(w.picks, Pick{as, v})
	}
	tag := uint64(n) << 3
	switch v.Type() {
	case pcommon.ValueTypeStr:
		b = w.textOf(b, n, v.Str())
	case pcommon.ValueTypeInt:
		b = appendNumber(appendNumber(b, tag|typeInt), zigzag(v.Int()))
	case pcommon.ValueTypeBool:
		if v.Bool() {
			tag |= typeTrue
		} else {
			tag |= typeFalse
		}
		b = appendNumber(b, tag)
	case pcommon.ValueTypeDouble:
		b = binary.LittleEndian.AppendUint64(appendNumber(b, tag|typeDouble), math.Float64bits(v.Double()))
	case pcommon.ValueTypeSlice:
		list := v.Slice()
		b = appendNumber(appendNumber(b, tag|typeStrings), uint64(list.Len()))
		for _, e := range list.All() {
			if e.Type() != pcommon.ValueTypeStr {
				return nil, false
			}
			b = literal(b, e.Str())
		}
	default:
		return nil, false
	}
	return b, true
}

// next returns the number of the key of the next attribute, false if the span has it already: pdata would keep both.
func (w *Writer) next(k string) (n uint32, ok bool) {
	if n, ok = w.key(w.before, k); !ok || w.words[n].span == w.span {
		return 0, false
	}
	w.before, w.words[n].span = n, w.span
	return n, true
}

// textOf appends the text that key n has.
func (w *Writer) textOf(b []byte, n uint32, text string) []byte {
	// The habit is not in words while it is used: they may move.
	h := w.words[n].value
	b = w.text(appendNumber(b, uint64(n)<<3+typeString), &h, text)
	w.words[n].value = h
	return b
}

// key returns the number of a key, which comes after that with the number before.
func (w *Writer) key(before uint32, k string) (n uint32, ok bool) {
	if n := w.words[before].next; w.words[n].text == k {
		return n, true
	}
	if n, ok = w.word(k); ok {
		w.words[before].next = n
		if w.visitor != nil {
			w.words[n].pick = w.visitor.Pick(k)
		}
	}
	return n, ok
}

// word returns the number of a text, false when there are too many.
func (w *Writer) word(text string) (n uint32, ok bool) {
	if n, ok = w.index[text]; ok {
		return n, true
	}
	if len(w.words) >= maxWords || w.size+len(text) > maxWordBytes {
		return 0, false
	}
	n = uint32(len(w.words))
	w.words = append(w.words, word{text: text})
	w.index[text] = n
	w.size += len(text)
	return n, true
}

// text appends a text: a word when it was there before.
func (w *Writer) text(b []byte, h *habit, text string) []byte {
	if len(text) < minWord {
		return literal(b, text)
	}
	if w.words[h.word].text == text {
		return appendNumber(b, uint64(h.word)<<1|1)
	}
	if h.once == text {
		if n, ok := w.word(text); ok {
			h.word = n
			return appendNumber(b, uint64(n)<<1|1)
		}
	}
	h.once = text
	return literal(b, text)
}

func literal(b []byte, text string) []byte {
	return append(appendNumber(b, uint64(len(text))<<1), text...)
}
