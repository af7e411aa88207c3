package protocol

import "bytes"

// HTTP1 is HTTP/1.0 and 1.1 (RFC 9112; semantics RFC 9110).
var HTTP1 = Protocol{
	Name:   "http",
	Detect: detectHTTP1,
	New: func(opts Options, sink Sink) Session {
		if opts.MaxHead <= 0 {
			opts.MaxHead = defaultMaxHead
		}
		s := &http1{opts: opts}
		for dir := range s.side {
			s.side[dir].flow = flow{sink: sink, dir: Direction(dir)}
		}
		s.dialogue = dialogue{ask: &s.side[Request].flow, answer: &s.side[Response].flow}
		s.order.lost = opts.Joined
		return s
	},
}

const defaultMaxHead = 64 << 10

// maxMethod is longer than any method in IANA's registry (UPDATEREDIRECTREF, 17).
const maxMethod = 24

func detectHTTP1(dir Direction, data []byte) Verdict {
	if dir == Response {
		return detectStatusLine(data)
	}
	return detectRequestLine(data)
}

// statusLineShape is the beginning of a status line: # is a digit, and / a digit from 1.
const statusLineShape = "HTTP/1.# ~##"

func detectStatusLine(data []byte) Verdict {
	for i := range len(statusLineShape) {
		if i == len(data) {
			return More
		}
		c, want := data[i], statusLineShape[i]
		switch want {
		case '#':
			if c < '0' || c > '9' {
				return No
			}
		case '~':
			if c < '1' || c > '9' {
				return No
			}
		default:
			if c != want {
				return No
			}
		}
	}
	if len(data) == len(statusLineShape) {
		return More
	}
	// The reason phrase, and the space before it, may be missing in practice.
	switch data[len(statusLineShape)] {
	case ' ', '\r', '\n':
		return Yes
	}
	return No
}

// detectRequestLine wants a whole request line, because its last word is what tells HTTP from RTSP,
// SIP and ICAP. Methods are upper case: every registered one is.
func detectRequestLine(data []byte) Verdict {
	i := 0
	for ; i < len(data); i++ {
		if c := data[i]; (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			break
		}
	}
	if i > maxMethod {
		return No
	}
	if i == len(data) {
		return More
	}
	if i < 3 || data[i] != ' ' {
		return No
	}
	target := data[i+1:]
	if len(target) == 0 {
		return More
	}
	if c := target[0]; c != '/' && c != '*' && c != '[' && !alphanumeric(c) {
		return No
	}
	end := bytes.IndexByte(target, ' ')
	line := target
	if end >= 0 {
		line = target[:end]
	}
	for _, c := range line {
		if c <= ' ' || c == 0x7f {
			return No
		}
	}
	if end < 0 {
		return More
	}
	const version = "HTTP/1."
	rest := target[end+1:]
	if n := min(len(rest), len(version)); string(rest[:n]) != version[:n] {
		return No
	}
	if len(rest) <= len(version) {
		return More
	}
	if c := rest[len(version)]; c < '0' || c > '9' {
		return No
	}
	rest = rest[len(version)+1:]
	switch {
	case len(rest) == 0:
		return More
	case rest[0] == '\n':
		return Yes
	case rest[0] != '\r':
		return No
	case len(rest) == 1:
		return More
	case rest[1] == '\n':
		return Yes
	}
	return No
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// tokenChars are the characters of an RFC 9110 token.
var tokenChars = func() (t [256]bool) {
	for c := range 256 {
		t[c] = alphanumeric(byte(c)) || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0
	}
	return t
}()

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenChars[c] {
			return false
		}
	}
	return len(b) > 0
}
