package protocol

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

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
