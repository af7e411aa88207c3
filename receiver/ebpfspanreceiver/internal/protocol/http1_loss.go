package protocol

import "bytes"

// endsLikeChunked: data is, or ends with, a last chunk without trailers.
func endsLikeChunked(data []byte) bool {
	return string(data) == "0\r\n\r\n" || bytes.HasSuffix(data, []byte("\r\n0\r\n\r\n"))
}

// continues tells whether data, which could begin a message, completes the first line under way
// instead: P and OST / HTTP/1.1. Then both readings are well formed, and a registered method wins.
func (s *http1) continues(side *httpSide, data []byte) bool {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	joined := append(append(side.buf[:len(side.buf):len(side.buf)], line...), '\n')
	if detectHTTP1(side.dir, joined) != Yes {
		return false
	}
	_, known := methods[string(firstWord(joined))]
	_, alone := methods[string(firstWord(data))]
	return known || !alone
}

func firstWord(b []byte) []byte {
	word, _ := cutByte(b, ' ')
	return word
}

// passStrange passes over bytes that are no HTTP. They may be what a request gets for an answer, or
// hold requests.
func (s *http1) passStrange(side *httpSide, n int) {
	if side.dir == Response && s.order.waiting() > 0 {
		side.begin()
		s.giveUp(side, n, NotProtocol)
		return
	}
	side.state = httpSeek
	s.lostRequest(side)
	side.pass(n, NotProtocol)
}

// giveUp abandons the message under way together with the rest of the chunk.
func (s *http1) giveUp(side *httpSide, rest int, why Reason) {
	side.blame(why)
	side.take(rest)
	side.state, side.buf = httpSeek, nil
	s.drop(side, why)
}

// drop abandons the message under way, and what can no longer be paired because of it.
func (s *http1) drop(side *httpSide, why Reason) {
	if side.dir == Request {
		s.dropRequest(why)
	} else {
		s.dropResponse(why)
	}
}

// lostRequest notes that bytes which may hold requests were passed over.
func (s *http1) lostRequest(side *httpSide) {
	if side.dir == Request {
		s.order.lost = true
	}
}

// leap passes over n bytes that were not captured.
func (s *http1) leap(side *httpSide, n int) {
	for n > 0 {
		switch side.state {
		case httpBody:
			k := int(min(side.rem, uint64(n)))
			side.expects = false
			side.take(k)
			n -= k
			if side.rem -= uint64(k); side.rem == 0 {
				s.endMessage(side, Complete)
				side.state = httpBoundary
			}
		case httpChunked:
			k := side.chunked.leap(n)
			side.take(k)
			if n -= k; n > 0 {
				s.loseFraming(side)
			}
		case httpUntilClose, httpUnknown:
			side.take(n)
			return
		case httpTunnel:
			side.pass(n, Tunnel)
			return
		case httpHead:
			if side.line > 0 {
				if h, ok := parseHead(side.dir, side.buf[:side.line], s.opts); ok &&
					(side.dir == Request || h.status >= 200 || h.status == 101) {
					if side.dir == Request && side.begun {
						s.remember(&h)
					}
					side.head(h.message)
					if h.status == 101 {
						s.upgrade(side)
						continue
					}
					side.chunkedBody = h.coding == codingChunked
					side.buf = side.buf[:0]
					s.loseFraming(side)
					continue
				}
			}
			s.giveUp(side, n, NotCaptured)
			return
		default: // between messages
			if side.dir == Response && s.order.waiting() > 0 {
				if !side.begun {
					side.begin()
				}
				s.giveUp(side, n, NotCaptured)
				return
			}
			if side.state != httpClosed {
				side.state = httpSeek
			}
			s.lostRequest(side)
			side.pass(n, NotCaptured)
			return
		}
	}
}

// loseFraming makes the end of the message under way unknown.
func (s *http1) loseFraming(side *httpSide) {
	side.state = httpUnknown
	if side.dir == Request && s.order.multiplexed {
		s.order.lost = true // more requests may follow unseen, and a turn would tell nothing
	}
	if side.dir == Response && side.begun && s.order.waiting() > 1 {
		// The missing bytes may hold any of the other responses.
		s.endMessage(side, Assumed)
		side.state = httpSeek
		s.loseResponses()
	}
}

func (s *http1) Close(dir Direction) {
	side := &s.side[dir&1]
	switch side.state {
	case httpClosed:
		return
	case httpHead:
		h, ok := head{}, false
		if side.line > 0 {
			h, ok = parseHead(side.dir, side.buf[:side.line], s.opts)
		}
		switch {
		case ok && (dir == Request || h.status >= 200):
			side.head(h.message)
			s.endMessage(side, Cut)
		case dir == Request:
			s.dropRequest(Malformed)
		default:
			side.abandon(Malformed)
		}
	case httpBoundary: // an interim response without its final one
		side.abandon(Malformed)
	case httpUntilClose:
		s.endMessage(side, Closed)
	case httpUnknown:
		s.endMessage(side, Assumed)
	case httpBody, httpChunked:
		s.endMessage(side, Cut)
	}
	side.flush()
	side.state, side.buf, side.muted = httpClosed, nil, false
	if dir == Response {
		if ask := &s.side[Request]; ask.state == httpUnknown {
			s.endMessage(ask, Assumed)
			ask.flush()
			ask.state = httpSeek
		}
		s.order = order{lost: s.order.lost, multiplexed: s.order.multiplexed}
	}
}

func (s *http1) Idle() {
	for i := range s.side {
		if side := &s.side[i]; side.state == httpUnknown {
			s.endMessage(side, Assumed)
			side.flush()
			side.state = httpSeek
		}
	}
	s.order.idle()
}
