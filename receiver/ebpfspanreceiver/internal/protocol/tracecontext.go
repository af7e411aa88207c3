package protocol

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
)

// propagation collects the headers in which an application passes on its trace. Add every header of
// a request (or of a message), then ask for the context. The values are looked at in context only,
// so they must stay valid until then.
//
// When several formats are present, the first of these that holds valid ids is taken whole: W3C
// Trace Context, B3 single header, B3 multiple headers, Jaeger, Datadog, SkyWalking. They are never
// mixed. Ids that are zero, too long or not of their alphabet make a format absent.
type propagation struct {
	traceparent, tracestate               []byte
	traceparents                          int
	joined                                []byte // several tracestate headers
	b3                                    []byte
	b3Trace, b3Span, b3Sampled, b3Flags   []byte
	jaeger                                []byte
	ddTrace, ddParent, ddPriority, ddTags []byte
	sw8                                   []byte
}

// maxState is what a receiver of tracestate has to pass on at least (W3C Trace Context level 1,
// section 3.3.1.5); a longer one is left out.
const maxState = 512

// add takes one header; its name may be in any case.
func (p *propagation) add(name, value []byte) {
	switch len(name) {
	case len("b3"):
		if foldEqual(name, "b3") {
			p.b3 = value
		}
	case len("sw8"):
		if foldEqual(name, "sw8") {
			p.sw8 = value
		}
	case len("tracestate"): // also x-b3-flags
		switch {
		case foldEqual(name, "x-b3-flags"):
			p.b3Flags = value
		case !foldEqual(name, "tracestate"):
		case p.tracestate == nil:
			p.tracestate = value
		case len(p.tracestate)+1+len(value) <= maxState:
			// RFC 9110 section 5.3: several headers are one list.
			p.joined = append(append(append(p.joined[:0:0], p.tracestate...), ','), value...)
			p.tracestate = p.joined
		}
	case len("traceparent"): // also x-b3-spanid
		switch {
		case foldEqual(name, "traceparent"):
			p.traceparent = value
			p.traceparents++
		case foldEqual(name, "x-b3-spanid"):
			p.b3Span = value
		}
	case len("x-b3-traceid"): // also x-b3-sampled
		switch {
		case foldEqual(name, "x-b3-traceid"):
			p.b3Trace = value
		case foldEqual(name, "x-b3-sampled"):
			p.b3Sampled = value
		}
	case len("uber-trace-id"):
		if foldEqual(name, "uber-trace-id") {
			p.jaeger = value
		}
	case len("x-datadog-tags"):
		if foldEqual(name, "x-datadog-tags") {
			p.ddTags = value
		}
	case len("x-datadog-trace-id"):
		if foldEqual(name, "x-datadog-trace-id") {
			p.ddTrace = value
		}
	case len("x-datadog-parent-id"):
		if foldEqual(name, "x-datadog-parent-id") {
			p.ddParent = value
		}
	case len("x-datadog-sampling-priority"):
		if foldEqual(name, "x-datadog-sampling-priority") {
			p.ddPriority = value
		}
	}
}

// context is what the headers say, the zero value when they say nothing valid.
func (p *propagation) context() TraceContext {
	if p.traceparents == 1 {
		if c := parseTraceparent(p.traceparent); c.Valid() {
			if len(p.tracestate) <= maxState && printable(p.tracestate) {
				c.State = string(p.tracestate)
			}
			return c
		}
	}
	if c := parseB3(p.b3); c.Valid() {
		return c
	}
	if c := parseB3Multi(p.b3Trace, p.b3Span, p.b3Sampled, p.b3Flags); c.Valid() {
		return c
	}
	if c := parseJaeger(p.jaeger); c.Valid() {
		return c
	}
	if c := parseDatadog(p.ddTrace, p.ddParent, p.ddPriority, p.ddTags); c.Valid() {
		return c
	}
	if c := parseSkyWalking(p.sw8); c.Valid() {
		return c
	}
	return TraceContext{}
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// parseTraceparent reads W3C Trace Context: version-traceid-parentid-flags, in lower-case hex. A
// version above 00 may have more after another dash (section 3.2.4).
func parseTraceparent(b []byte) (c TraceContext) {
	const size = 2 + 1 + 32 + 1 + 16 + 1 + 2
	if len(b) < size || b[2] != '-' || b[35] != '-' || b[52] != '-' {
		return TraceContext{}
	}
	for _, d := range b[:size] {
		if d >= 'A' && d <= 'F' {
			return TraceContext{}
		}
	}
	var version, flags [1]byte
	if !hexField(version[:], b[:2]) || version[0] == 0xff || !hexField(flags[:], b[53:55]) {
		return TraceContext{}
	}
	if len(b) > size && (version[0] == 0 || b[size] != '-') {
		return TraceContext{}
	}
	if !hexField(c.TraceID[:], b[3:35]) || !hexField(c.ParentID[:], b[36:52]) {
		return TraceContext{}
	}
	c.Sampled, c.HasSampled = flags[0]&1 != 0, true
	return c
}

// hexField decodes b into dst, padding with zeros on the left.
func hexField(dst, b []byte) bool {
	if len(b) == 0 || len(b) > 2*len(dst) {
		return false
	}
	for i := range dst {
		dst[i] = 0
	}
	for i := range b {
		v, ok := hexDigit(b[len(b)-1-i])
		if !ok {
			return false
		}
		dst[len(dst)-1-i/2] |= v << (4 * (i % 2))
	}
	return true
}

// parseB3 reads the b3 header: traceid-spanid[-sampling[-parentspanid]]. The decision alone ("0")
// carries no ids.
func parseB3(b []byte) (c TraceContext) {
	trace, rest := cutByte(b, '-')
	span, rest := cutByte(rest, '-')
	sampling, parent := cutByte(rest, '-')
	if parent != nil && len(parent) != 16 {
		return TraceContext{}
	}
	return b3Context(trace, span, sampling)
}

func parseB3Multi(trace, span, sampled, flags []byte) TraceContext {
	if string(flags) == "1" {
		sampled = []byte("d")
	}
	return b3Context(trace, span, sampled)
}

func b3Context(trace, span, sampling []byte) (c TraceContext) {
	if len(trace) != 32 && len(trace) != 16 || len(span) != 16 {
		return TraceContext{}
	}
	if !hexField(c.TraceID[:], trace) || !hexField(c.ParentID[:], span) {
		return TraceContext{}
	}
	switch string(sampling) {
	case "1", "d", "true":
		c.Sampled, c.HasSampled = true, true
	case "0", "false":
		c.HasSampled = true
	}
	return c
}

// parseJaeger reads uber-trace-id: traceid:spanid:parentid:flags in hex without leading zeros, the
// colons perhaps URL-encoded.
func parseJaeger(b []byte) (c TraceContext) {
	if len(b) > 128 {
		return TraceContext{}
	}
	var field [4][]byte
	for i := range field {
		end, width := len(b), 0
		for j := range b {
			if b[j] == ':' {
				end, width = j, 1
				break
			}
			if b[j] == '%' && j+2 < len(b) && b[j+1] == '3' && (b[j+2] == 'A' || b[j+2] == 'a') {
				end, width = j, 3
				break
			}
		}
		if (width == 0) != (i == len(field)-1) {
			return TraceContext{}
		}
		field[i], b = b[:end], b[end+width:]
	}
	var flags [1]byte
	if !hexField(c.TraceID[:], field[0]) || !hexField(c.ParentID[:], field[1]) || !hexField(flags[:], field[3]) {
		return TraceContext{}
	}
	c.Sampled, c.HasSampled = flags[0]&1 != 0, true
	return c
}

// parseDatadog reads the x-datadog headers: decimal ids, the upper half of the trace id as hex in
// the tag _dd.p.tid, and a priority of which above zero means keep.
func parseDatadog(trace, parent, priority, tags []byte) (c TraceContext) {
	low, ok := parseUint64(trace)
	span, ok2 := parseUint64(parent)
	if !ok || !ok2 || low == 0 || span == 0 {
		return TraceContext{}
	}
	binary.BigEndian.PutUint64(c.TraceID[8:], low)
	binary.BigEndian.PutUint64(c.ParentID[:], span)
	for tags != nil {
		var tag []byte
		tag, tags = cutByte(tags, ',')
		name, value := cutByte(tag, '=')
		if string(name) == "_dd.p.tid" && len(value) == 16 {
			var high [8]byte
			if hexField(high[:], value) {
				copy(c.TraceID[:8], high[:])
			}
		}
	}
	switch {
	case len(priority) == 0:
	case priority[0] == '-':
		_, c.HasSampled = parseDecimal(priority[1:])
	default:
		var n uint64
		n, c.HasSampled = parseDecimal(priority)
		c.Sampled = c.HasSampled && n > 0
	}
	return c
}

// parseUint64 reads a decimal up to 2^64-1.
func parseUint64(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		d := uint64(c - '0')
		if c < '0' || c > '9' || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(b) > 0
}

// parseSkyWalking reads sw8 (Cross Process Propagation Headers Protocol v3): eight fields, the
// second and third being trace id and parent segment id in base64, the fourth the parent's span
// number within its segment.
//
// These ids are strings. Where they have the shape that agents give them (a UUID, or 32 hex digits,
// perhaps followed by .thread.sequence) they are folded into 16 and 8 bytes in the way the
// Collector's SkyWalking translator folds them, so that spans from such an agent in the same
// pipeline have the same ids: the two numbers and the span number are XORed onto the UUID as
// little-endian integers, and a span id is the XOR of the two halves. Any other string is hashed
// with 128-bit and 64-bit FNV-1a: stable, but comparable with nothing else.
func parseSkyWalking(b []byte) (c TraceContext) {
	if len(b) > 4096 {
		return TraceContext{}
	}
	var field [8][]byte
	for i := range field {
		if b == nil {
			return TraceContext{}
		}
		field[i], b = cutByte(b, '-')
	}
	if b != nil || len(field[0]) != 1 {
		return TraceContext{}
	}
	var buf [2][256]byte
	trace, ok := base64Field(buf[0][:], field[1])
	segment, ok2 := base64Field(buf[1][:], field[2])
	span, ok3 := parseDecimal(field[3])
	if !ok || !ok2 || !ok3 || span > 1<<31-1 {
		return TraceContext{}
	}
	if low, high, ok := foldUUID(trace); ok {
		binary.LittleEndian.PutUint64(c.TraceID[:8], low)
		binary.LittleEndian.PutUint64(c.TraceID[8:], high)
	} else {
		h := fnv.New128a()
		h.Write(trace)
		h.Sum(c.TraceID[:0])
	}
	if low, high, ok := foldUUID(segment); ok {
		binary.LittleEndian.PutUint64(c.ParentID[:], low^high^span)
	} else {
		h := fnv.New64a()
		h.Write(segment)
		h.Write([]byte{'#'})
		h.Write(field[3])
		h.Sum(c.ParentID[:0])
	}
	switch field[0][0] {
	case '1':
		c.Sampled, c.HasSampled = true, true
	case '0':
		c.HasSampled = true
	default:
		return TraceContext{}
	}
	return c
}

func base64Field(buf, b []byte) ([]byte, bool) {
	if len(b) == 0 || base64.StdEncoding.DecodedLen(len(b)) > len(buf) {
		return nil, false
	}
	n, err := base64.StdEncoding.Decode(buf, b)
	return buf[:n], err == nil && n > 0
}

// foldUUID reads a UUID with or without dashes, and .thread.sequence after the latter, as two
// little-endian integers.
func foldUUID(s []byte) (low, high uint64, ok bool) {
	var digits [32]byte
	var rest []byte
	switch {
	case len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-':
		n := copy(digits[:], s[:8])
		n += copy(digits[n:], s[9:13])
		n += copy(digits[n:], s[14:18])
		n += copy(digits[n:], s[19:23])
		copy(digits[n:], s[24:])
	case len(s) >= 32:
		copy(digits[:], s)
		rest = s[32:]
	default:
		return 0, 0, false
	}
	var id [16]byte
	if _, err := hex.Decode(id[:], digits[:]); err != nil {
		return 0, 0, false
	}
	low, high = binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])
	if len(rest) == 0 {
		return low, high, true
	}
	if rest[0] != '.' {
		return 0, 0, false
	}
	thread, sequence := cutByte(rest[1:], '.')
	t, ok := parseUint64(thread)
	q, ok2 := parseUint64(sequence)
	if !ok || !ok2 || t > 1<<63-1 || q > 1<<63-1 {
		return 0, 0, false
	}
	return low ^ t<<32, high ^ q, true
}

// cutByte cuts b at the first sep. rest is nil when there is none, and not nil when there is.
func cutByte(b []byte, sep byte) (before, rest []byte) {
	for i, c := range b {
		if c == sep {
			return b[:i], b[i+1 : len(b) : len(b)]
		}
	}
	return b, nil
}
