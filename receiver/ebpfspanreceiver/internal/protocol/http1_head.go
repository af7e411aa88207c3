package protocol

import (
	"bytes"
	"math"
)

// head is what a message head says.
type head struct {
	message *Message
	method  string
	status  int
	// length is Content-Length, when hasLength.
	length    uint64
	hasLength bool
	// badLength: Content-Length is no number, too large, or contradicts another one.
	badLength bool
	coding    coding
	expects   bool
}

// coding is what Transfer-Encoding makes of the body's framing.
type coding uint8

const (
	codingNone coding = iota
	codingChunked
	// codingOther: the last coding is not chunked, so the connection's end is the body's.
	codingOther
)

// methods are those of RFC 9110, RFC 5789 and httpbis-safe-method-w-body: any other is _OTHER for semantic
// conventions. The map also saves an allocation for each request.
var methods = map[string]string{
	"GET": "GET", "HEAD": "HEAD", "POST": "POST", "PUT": "PUT", "DELETE": "DELETE",
	"CONNECT": "CONNECT", "OPTIONS": "OPTIONS", "TRACE": "TRACE", "PATCH": "PATCH", "QUERY": "QUERY",
}

// validFirstLine judges a whole first line, without its line end.
func validFirstLine(dir Direction, line []byte) bool {
	if bytes.IndexByte(line, 0) >= 0 || bytes.IndexByte(line, '\r') >= 0 {
		return false
	}
	if dir == Response {
		return len(line) >= len(statusLineShape) && detectStatusLine(line) != No
	}
	method, target, version, ok := splitRequestLine(line)
	return ok && isToken(method) && len(target) > 0 && validVersion(version)
}

func validVersion(v []byte) bool {
	return len(v) == len("HTTP/1.1") && string(v[:7]) == "HTTP/1." && v[7] >= '0' && v[7] <= '9'
}

// splitRequestLine splits at the first and the last space. RFC 9112 section 3 allows no other, and
// a target with spaces is refused.
func splitRequestLine(line []byte) (method, target, version []byte, ok bool) {
	first, last := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ' ')
	if first < 0 || first == last {
		return nil, nil, nil, false
	}
	method, target, version = line[:first], line[first+1:last], line[last+1:]
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return nil, nil, nil, false
		}
	}
	return method, target, version, true
}

// nextLine cuts the first line off b, without its line end.
func nextLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), rest
}

// parseHead reads a head: whole lines, with or without the empty one that ends it.
func parseHead(dir Direction, b []byte, opts Options) (h head, ok bool) {
	line, rest := nextLine(b)
	if !validFirstLine(dir, line) {
		return h, false
	}
	f := headerFields{}
	for len(rest) > 0 {
		var field []byte
		if field, rest = nextLine(rest); len(field) == 0 {
			break
		}
		if !f.add(dir, field, &h) {
			return h, false
		}
	}
	if dir == Response {
		h.status = int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0')
		h.message = responseMessage(&h, &f, line[5:8])
		return h, true
	}
	method, target, version, _ := splitRequestLine(line)
	var known bool
	if h.method, known = methods[string(method)]; !known {
		h.method = "_OTHER"
	}
	h.message = requestMessage(&h, &f, method, target, version[5:], opts)
	return h, h.message != nil
}

// headerFields are the header values that a span or the propagation of a trace needs. They point
// into the head: nothing else of it is kept.
type headerFields struct {
	host, userAgent, requestID []byte
	hosts                      int
	propagation                propagation
}

// add reads one header line. It reports false when the line breaks RFC 9112 section 5.
func (f *headerFields) add(dir Direction, line []byte, h *head) bool {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || bytes.IndexByte(line, 0) >= 0 || bytes.IndexByte(line, '\r') >= 0 {
		return false // obs-fold comes here too: a line that starts with white space, or has no colon
	}
	name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
	if dir == Response {
		name = bytes.TrimRight(name, " \t") // section 5.1: to be removed, not refused
	}
	if !isToken(name) {
		return false
	}
	// The length first: it spares most headers every comparison.
	switch len(name) {
	case len("host"):
		if dir == Request && foldEqual(name, "host") {
			f.host = value
			f.hosts++
		}
	case len("expect"):
		if foldEqual(name, "expect") {
			h.expects = foldEqual(value, "100-continue")
		}
	case len("user-agent"):
		if dir == Request && foldEqual(name, "user-agent") {
			f.userAgent = value
		}
	case len("x-request-id"):
		if foldEqual(name, "x-request-id") {
			f.requestID = value
		}
	case len("content-length"):
		if foldEqual(name, "content-length") {
			h.addLength(value)
		}
	case len("transfer-encoding"):
		if foldEqual(name, "transfer-encoding") {
			h.addCoding(value)
		}
	}
	if dir == Request {
		f.propagation.add(name, value)
	}
	return true
}

// addLength reads Content-Length, which may be a list or repeated when all values are the same
// (RFC 9110 section 8.6).
func (h *head) addLength(value []byte) {
	for more := true; more; {
		var item []byte
		item, value, more = bytes.Cut(value, []byte(","))
		n, ok := parseDecimal(bytes.Trim(item, " \t"))
		if !ok || n > maxChunk || h.hasLength && n != h.length {
			h.badLength = true
			return
		}
		h.length, h.hasLength = n, true
	}
}

// addCoding reads Transfer-Encoding: the last coding of the last header decides.
func (h *head) addCoding(value []byte) {
	last := value
	if i := bytes.LastIndexByte(value, ','); i >= 0 {
		last = value[i+1:]
	}
	last, _, _ = bytes.Cut(last, []byte(";"))
	h.coding = codingOther
	if foldEqual(bytes.Trim(last, " \t"), "chunked") {
		h.coding = codingChunked
	}
}

// parseDecimal reads digits, and nothing else.
func parseDecimal(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' || n > (math.MaxUint64-9)/10 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, len(b) > 0
}

// foldEqual compares with lower, an ASCII string in lower case.
func foldEqual(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
