package protocol

import (
	"bytes"
	"math"
	"net/netip"
	"strconv"
	"strings"
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

// methods are those of RFC 9110, RFC 5789 and RFC 10008 (QUERY): any other is _OTHER for semantic
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

// text makes an attribute value, which must be UTF-8.
func text(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }

// maxRequestID is well above what proxies write (a UUID has 36 bytes).
const maxRequestID = 256

func requestID(b []byte) string {
	if len(b) > maxRequestID {
		return ""
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return string(b)
}

func responseMessage(h *head, f *headerFields, version []byte) *Message {
	m := newMessage()
	m.RequestID = requestID(f.requestID)
	m.Attributes = append(m.Attributes, Int("http.response.status_code", int64(h.status)))
	if string(version) != "1.1" {
		m.Attributes = append(m.Attributes, String("network.protocol.version", string(version)))
	}
	if h.hasLength && !h.badLength && h.coding == codingNone && h.status != 304 {
		m.Attributes = append(m.Attributes, Int("http.response.body.size", int64(h.length)))
	}
	switch {
	case h.status >= 500:
		m.Fault = ServerFault
	case h.status >= 400:
		m.Fault = CallerFault
	}
	if m.Fault != NoFault {
		// The status code says it all: semantic conventions want no status message then.
		m.Attributes = append(m.Attributes, String("error.type", strconv.Itoa(h.status)))
	}
	return m
}

// requestMessage is nil when the target is of no form that RFC 9112 section 3.2 knows.
func requestMessage(h *head, f *headerFields, method, target, version []byte, opts Options) *Message {
	t, ok := parseTarget(h.method, target)
	if !ok {
		return nil
	}
	m := newLargeMessage()
	m.Name, m.Context, m.RequestID = h.method, f.propagation.context(), requestID(f.requestID)
	m.Attributes = append(m.Attributes, String("http.request.method", h.method))
	if h.method == "_OTHER" {
		m.Name = "HTTP"
		m.Attributes = append(m.Attributes, String("http.request.method_original", string(method)))
	}
	if len(t.path) > 0 {
		m.Attributes = append(m.Attributes, String("url.path", text(t.path)))
	}
	if opts.CaptureQuery && len(t.query) > 0 {
		m.Attributes = append(m.Attributes, String("url.query", redactQuery(t.query)))
	}
	authority := t.authority
	if authority == nil && f.hosts == 1 {
		authority = f.host
	}
	if name, port, ok := splitAuthority(authority); ok {
		m.Attributes = append(m.Attributes, String("server.address", name))
		if port > 0 {
			m.Attributes = append(m.Attributes, Int("server.port", int64(port)))
		}
	}
	if len(f.userAgent) > 0 {
		m.Attributes = append(m.Attributes, String("user_agent.original", text(f.userAgent)))
	}
	v := "1.1"
	if string(version) != v {
		v = string(version)
	}
	m.Attributes = append(m.Attributes, String("network.protocol.version", v))
	if h.hasLength && !h.badLength && h.coding == codingNone {
		m.Attributes = append(m.Attributes, Int("http.request.body.size", int64(h.length)))
	}
	return m
}

// target is a request target taken apart.
type target struct {
	path, query []byte
	// authority is host and port, without userinfo; nil when the target has none.
	authority []byte
}

// parseTarget reads the four forms of RFC 9112 section 3.2. The path of the asterisk form is "*".
func parseTarget(method string, b []byte) (t target, ok bool) {
	switch {
	case method == "CONNECT":
		t.authority = b[bytes.LastIndexByte(b, '@')+1:]
		return t, true
	case len(b) == 1 && b[0] == '*':
		t.path = b
		return t, true
	case b[0] == '/':
	default:
		i := bytes.Index(b, []byte("://"))
		if i <= 0 || !isToken(b[:i]) {
			return t, false
		}
		b = b[i+3:]
		end := bytes.IndexAny(b, "/?#")
		if end < 0 {
			end = len(b)
		}
		t.authority = b[:end]
		t.authority = t.authority[bytes.LastIndexByte(t.authority, '@')+1:]
		b = b[end:]
	}
	b, _, _ = bytes.Cut(b, []byte("#"))
	t.path, t.query, _ = bytes.Cut(b, []byte("?"))
	if len(t.path) == 0 {
		t.path = []byte("/")
	}
	return t, true
}

// splitAuthority takes host and port apart and refuses what is no host (RFC 3986 section 3.2.2).
// An IPv6 address comes back without brackets; a port that is not given is 0.
func splitAuthority(b []byte) (name string, port int, ok bool) {
	if len(b) == 0 || len(b) > 512 {
		return "", 0, false
	}
	host, rest := b, []byte(nil)
	if b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return "", 0, false
		}
		host, rest = b[1:end], b[end+1:]
		addr, err := netip.ParseAddr(string(host))
		if err != nil || !addr.Is6() {
			return "", 0, false
		}
	} else {
		if i := bytes.IndexByte(b, ':'); i >= 0 {
			host, rest = b[:i], b[i:]
		}
		for _, c := range host {
			if !alphanumeric(c) && strings.IndexByte("-._~%!$&'()*+,;=", c) < 0 {
				return "", 0, false
			}
		}
	}
	if len(rest) > 0 {
		if rest[0] != ':' {
			return "", 0, false
		}
		if rest = rest[1:]; len(rest) > 0 {
			n, ok := parseDecimal(rest)
			if !ok || n == 0 || n > 65535 {
				return "", 0, false
			}
			port = int(n)
		}
	}
	return string(host), port, len(host) > 0
}
