package protocol

import "bytes"

// http1 follows one HTTP/1 connection.
//
// When bytes of a head were not captured, the head is what was captured, provided that its first
// line is whole; without that the message is abandoned as not_captured. Such a message, and one
// with bytes of its chunked framing missing, has an unknown end: it ends as Assumed, when the next
// message of its direction starts at the start of a chunk, when its own response has ended (a
// request), when the next request begins at a turn (a response), when a fully captured write ends
// with a last chunk, when nothing moves (Idle) or at Close.
type http1 struct {
	dialogue
	opts Options
	side [2]httpSide
}

// httpSide is one direction.
type httpSide struct {
	flow
	state httpState
	// sought: the message under way was found by its looks, not by following the one before.
	sought bool
	// expects: the request says Expect: 100-continue, and none of its body has come yet.
	expects bool
	// chunkedBody: the body is chunked, which helps to see the end of one with a gap.
	chunkedBody bool
	rem         uint64
	chunked     chunked
	// buf holds a head that is not complete. scanned bytes of it have been searched for line
	// ends; line is where its last line starts.
	buf           []byte
	scanned, line int
}

type httpState uint8

const (
	// httpSeek: not at a known place of the stream.
	httpSeek httpState = iota
	// httpBoundary: a message is expected next.
	httpBoundary
	httpHead
	httpBody
	httpChunked
	httpUntilClose
	// httpUnknown: inside a message whose end cannot be known.
	httpUnknown
	httpTunnel
	httpClosed
)

// What a pending request means for the framing of its response.
const (
	kindOther uint8 = iota
	kindHead
	kindConnect
)

func (s *http1) Feed(dir Direction, c Chunk) {
	side := &s.side[dir&1]
	gap := max(c.Len-len(c.Data), 0)
	if dir == Response && len(c.Data)+gap > 0 {
		s.order.turned = true
	}
	data, atStart := c.Data, true
	for len(data) > 0 {
		n := s.read(side, data, atStart)
		data, atStart = data[n:], false
	}
	if gap > 0 {
		s.leap(side, gap)
	} else if side.state == httpUnknown && side.chunkedBody && endsLikeChunked(c.Data) {
		s.endMessage(side, Assumed)
		side.state = httpBoundary
	}
	if dir == Request {
		s.order.turned = false
	}
	side.flush()
}

// read consumes at least one byte of data. atStart: data is the start of a chunk.
func (s *http1) read(side *httpSide, data []byte, atStart bool) int {
	if side.expects && (side.state == httpBody || side.state == httpChunked) {
		if atStart && side.begun && s.order.at(s.current) == nil && detectHTTP1(Request, data) == Yes {
			// RFC 9110 section 10.1.1: the server answered instead of asking for the body, and
			// the client did not send it.
			s.endMessage(side, Assumed)
			side.state = httpBoundary
		}
		side.expects = false
	}
	switch side.state {
	case httpBoundary:
		// RFC 9112 section 2.2: empty lines before a request line are to be ignored.
		if c := data[0]; c == '\r' || c == '\n' {
			if side.begun {
				side.take(1) // after an interim response
			} else {
				side.pass(1, NotProtocol)
			}
			return 1
		}
		side.sought = false
		s.startMessage(side)
		return s.readHead(side, data)
	case httpSeek:
		return s.seek(side, data, atStart)
	case httpHead:
		if atStart && side.sought && side.line == 0 && detectHTTP1(side.dir, data) == Yes && !s.continues(side, data) {
			// What looked like the beginning of a message was not; this is one.
			s.giveUp(side, 0, NotProtocol)
			return s.seek(side, data, atStart)
		}
		return s.readHead(side, data)
	case httpBody:
		n := int(min(side.rem, uint64(len(data))))
		side.take(n)
		if side.rem -= uint64(n); side.rem == 0 {
			s.endMessage(side, Complete)
			side.state = httpBoundary
		}
		return n
	case httpChunked:
		n, done, bad := side.chunked.read(data, s.opts.MaxHead)
		side.take(n)
		switch {
		case bad:
			s.giveUp(side, len(data)-n, Malformed)
			return len(data)
		case done:
			s.endMessage(side, Complete)
			side.state = httpBoundary
		}
		return n
	case httpUnknown:
		if atStart && side.dir == Request && detectHTTP1(side.dir, data) == Yes {
			if !s.order.turned || s.order.multiplexed {
				// The gap may have held more requests than the one that was seen.
				s.order.lost = true
			}
			s.endMessage(side, Assumed)
			return s.seek(side, data, atStart)
		}
		side.take(len(data))
	case httpUntilClose:
		side.take(len(data))
	case httpTunnel:
		side.pass(len(data), Tunnel)
	default:
		side.pass(len(data), NotProtocol)
	}
	return len(data)
}

// seek looks for a message at the start of a chunk.
func (s *http1) seek(side *httpSide, data []byte, atStart bool) int {
	if !atStart {
		s.passStrange(side, len(data))
		return len(data)
	}
	blank := 0
	for blank < len(data) && (data[blank] == '\r' || data[blank] == '\n') {
		blank++
	}
	if blank > 0 {
		side.pass(blank, NotProtocol)
		if data = data[blank:]; len(data) == 0 {
			return blank
		}
	}
	if detectHTTP1(side.dir, data) == No {
		s.passStrange(side, len(data))
		return blank + len(data)
	}
	side.sought = true
	s.startMessage(side)
	return blank + s.readHead(side, data)
}

// startMessage opens a message at the next byte.
func (s *http1) startMessage(side *httpSide) {
	side.state = httpHead
	side.buf, side.scanned, side.line = side.buf[:0], 0, 0
	side.expects, side.chunkedBody = false, false
	if side.dir == Response {
		switch {
		case s.order.waiting() > 0:
			side.begin() // for the second time after an interim response
		case s.order.lost:
			side.mute(NotCaptured)
		default:
			side.mute(Unsolicited)
		}
		return
	}
	answer := &s.side[Response]
	if s.order.turned && answer.state == httpUnknown && s.order.waiting() <= 1 {
		// The client would not ask again before it had its answer, unless it is known to do so.
		s.endMessage(answer, Assumed)
		answer.state = httpSeek
		s.order.lost = s.order.lost || s.order.multiplexed
	}
	ok, why := s.order.admit()
	if !ok {
		side.mute(why)
		return
	}
	if s.order.waiting() == 1 && (answer.muted || answer.state == httpSeek) {
		// Whatever the response direction was in the middle of is over.
		answer.muted, answer.state = false, httpSeek
	}
	s.current = s.order.next - 1
	side.begin()
}

// readHead continues the head under way and, when it is complete, finds the framing of the body.
func (s *http1) readHead(side *httpSide, data []byte) int {
	// A head that is all in one chunk is not copied.
	head, old := data, len(side.buf)
	if old > 0 {
		side.buf = append(side.buf, data[:min(len(data), s.opts.MaxHead+1-old)]...)
		head = side.buf
	}
	end := -1
	for end < 0 {
		i := bytes.IndexByte(head[side.scanned:], '\n')
		if i < 0 {
			side.scanned = len(head)
			break
		}
		i += side.scanned
		line := bytes.TrimSuffix(head[side.line:i], []byte("\r"))
		if side.line == 0 && (!validFirstLine(side.dir, line) || side.sought && detectHTTP1(side.dir, head) != Yes) {
			return s.refuseHead(side, data, head)
		}
		side.scanned, side.line = i+1, i+1
		if len(line) == 0 {
			end = i + 1
		}
	}
	if side.line == 0 && side.scanned <= 64 && !plausible(side.dir, side.sought, head) {
		return s.refuseHead(side, data, head)
	}
	if end > s.opts.MaxHead || end < 0 && len(head) > s.opts.MaxHead {
		s.giveUp(side, len(data), TooLarge)
		return len(data)
	}
	if end < 0 {
		if old == 0 {
			side.buf = append(side.buf, data...)
		}
		side.take(len(data))
		return len(data)
	}
	n := end - old
	side.take(n)
	if !s.headComplete(side, head[:end]) {
		s.giveUp(side, len(data)-n, Malformed)
		return len(data)
	}
	if cap(side.buf) > 8<<10 {
		side.buf = nil // a rare large head should not stay with an idle connection
	}
	side.buf = side.buf[:0]
	return n
}

// refuseHead gives up a head that does not begin as one.
func (s *http1) refuseHead(side *httpSide, data, head []byte) int {
	why := Malformed
	if side.sought || detectHTTP1(side.dir, head) == No && side.line == 0 {
		why = NotProtocol
	}
	s.giveUp(side, len(data), why)
	return len(data)
}

// plausible judges the first bytes of a line that is not complete.
func plausible(dir Direction, sought bool, head []byte) bool {
	if dir == Response || sought {
		return detectHTTP1(dir, head) != No
	}
	method, _, _ := bytes.Cut(head, []byte(" "))
	return isToken(method)
}

// headComplete interprets a whole head. It reports false when the head breaks the rules.
func (s *http1) headComplete(side *httpSide, head []byte) bool {
	h, ok := parseHead(side.dir, head, s.opts)
	if !ok {
		return false
	}
	if side.dir == Request {
		return s.requestComplete(side, &h)
	}
	return s.responseComplete(side, &h)
}

func (s *http1) requestComplete(side *httpSide, h *head) bool {
	if h.badLength || h.coding == codingOther {
		return false // RFC 9112 section 6.3: the length cannot be known
	}
	if side.begun {
		s.remember(h)
	}
	side.head(h.message)
	switch {
	case h.coding == codingChunked:
		side.state, side.chunked, side.chunkedBody = httpChunked, chunked{}, true
	case h.length > 0:
		side.state, side.rem = httpBody, h.length
	default:
		s.endMessage(side, Complete)
		side.state = httpBoundary
		return true
	}
	side.expects = h.expects
	return true
}

// remember notes what the response to the request under way will need.
func (s *http1) remember(h *head) {
	if p := s.order.at(s.current); p != nil {
		switch h.method {
		case "HEAD":
			p.kind = kindHead
		case "CONNECT":
			p.kind = kindConnect
		}
	}
}

func (s *http1) responseComplete(side *httpSide, h *head) bool {
	if h.status < 200 && h.status != 101 {
		// Interim (RFC 9110 section 15.2): the final response will replace it.
		side.state = httpBoundary
		return true
	}
	kind := kindOther
	if p := s.order.at(s.order.first); p != nil && side.begun {
		kind = p.kind
	}
	// RFC 9112 section 6.3, in its order.
	switch {
	case h.status == 101 || kind == kindConnect && h.status < 300:
		side.head(h.message)
		s.upgrade(side)
		return true
	case kind == kindHead || h.status == 204 || h.status == 304:
		side.head(h.message)
		s.endMessage(side, Complete)
		side.state = httpBoundary
		return true
	case h.coding == codingChunked:
		side.state, side.chunked, side.chunkedBody = httpChunked, chunked{}, true
	case h.coding == codingOther:
		side.state = httpUntilClose
	case h.badLength:
		return false
	case h.hasLength && h.length == 0:
		side.head(h.message)
		s.endMessage(side, Complete)
		side.state = httpBoundary
		return true
	case h.hasLength:
		side.state, side.rem = httpBody, h.length
	default:
		side.state = httpUntilClose
	}
	side.head(h.message)
	return true
}

// upgrade hands both directions to another protocol. The response has just had its head.
func (s *http1) upgrade(answer *httpSide) {
	ask := &s.side[Request]
	if ask.begun && ask.headed && s.order.at(s.current) != nil && s.order.waiting() == 1 {
		ask.end(Upgraded)
	} else {
		if ask.begun && s.current == s.order.first {
			answer.abandon(Tunnel) // it answers a request whose head nobody has seen
		}
		ask.abandon(Tunnel)
	}
	ask.flush()
	answer.end(Upgraded)
	s.order = order{}
	for i := range s.side {
		s.side[i].state, s.side[i].buf = httpTunnel, nil
	}
}

// endMessage ends the message under way at the current position. The caller sets the state.
func (s *http1) endMessage(side *httpSide, how Completion) {
	if side.dir == Response && side.begun {
		ask := &s.side[Request]
		if ask.state == httpUnknown && ask.begun && s.current == s.order.first {
			// Its end is not known, but it was before its response ended.
			ask.end(Assumed)
			ask.state = httpSeek
		}
		s.order.pop()
	}
	side.end(how)
}
