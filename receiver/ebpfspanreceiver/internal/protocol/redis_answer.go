package protocol

import "bytes"

// readReply consumes at least one byte of the response direction.
func (s *redis) readReply(data []byte) int {
	r := &s.answer
	switch r.state {
	case redisSeek:
		s.passReply(len(data), NotProtocol)
		return len(data)
	case redisUnknown:
		r.take(len(data))
		return len(data)
	case redisTunnel:
		r.pass(len(data), Tunnel)
		return len(data)
	case redisClosed:
		r.pass(len(data), NotProtocol)
		return len(data)
	case redisBoundary:
		p := s.order.at(s.order.first)
		if data[0] == '\n' && p != nil && p.kind == redisSync {
			r.pass(1, NotProtocol) // a master's sign of life while it makes ready to sync
			return 1
		}
		s.startReply(data[0])
	}
	n, done, bad := r.reply.read(data, r.begun && !r.headed)
	if bad {
		why := Malformed
		if r.reply.lines == 0 && r.reply.state == replyType {
			why = NotProtocol
		}
		s.giveUpReply(len(data), why)
		return len(data)
	}
	r.take(n)
	if r.begun && !r.headed {
		s.classify(done)
	}
	if r.state == redisTunnel {
		return n
	}
	if done {
		s.replyComplete()
	}
	return n
}

// passReply passes over bytes that are not understood. They may be what a command gets for an answer.
func (s *redis) passReply(n int, why Reason) {
	r := &s.answer
	if s.order.waiting() > 0 {
		r.begin()
		s.giveUpReply(n, why)
		return
	}
	r.pass(n, why)
}

// startReply opens a reply at the next byte, which is typ.
func (s *redis) startReply(typ byte) {
	r := &s.answer
	r.state, r.reply, r.push = redisMessage, reply{}, false
	p := s.order.at(s.order.first)
	switch {
	case s.mayPush(typ):
		r.begin()
	case p != nil && p.kind == redisVoid:
		r.mute(NotCaptured)
	case p != nil:
		r.begin()
	case s.order.lost:
		r.mute(NotCaptured)
	default:
		r.mute(Unsolicited)
	}
}

// mayPush: a value of this type can be one that nobody asked for.
func (s *redis) mayPush(typ byte) bool {
	return typ == '>' || typ == '|' && s.resp3 ||
		typ == '*' && s.subscribed && !s.resp3 || typ == '+' && s.monitoring
}

// classify reports the head of the reply as soon as it is known what it is.
func (s *redis) classify(done bool) {
	r := &s.answer
	top := r.reply.top
	if top == 0 || r.reply.lines == 0 {
		return
	}
	var push bool
	switch {
	case top == '>' || top == '*' && s.subscribed && !s.resp3:
		if !done && !r.reply.hasFirst {
			return
		}
		kind := r.reply.first[:r.reply.firstLen]
		switch {
		case isConfirmation(kind):
			p := s.order.at(s.order.first)
			if s.confirmations > 0 {
				s.confirmations--
				push = true
			} else {
				push = p == nil || p.kind != redisSubscribe
				if !push {
					s.confirmations = max(p.count, 1) - 1
				}
			}
		case top == '>':
			push = true
		default:
			push = isPubSub(kind)
		}
		if push {
			r.push = true
			r.head(pushMessage(kind))
			return
		}
	case (top == '+' || top == '-' || top == '!') && !done:
		return // the text matters
	case top == '+' && s.monitoring && r.reply.firstLen > 0 && r.reply.first[0] >= '0' && r.reply.first[0] <= '9':
		r.push = true
		r.head(pushMessage([]byte("monitor")))
		return
	}
	p := s.order.at(s.order.first)
	if p == nil || p.kind == redisVoid {
		// It could have been a push, and is none.
		why := Unsolicited
		if p != nil || s.order.lost {
			why = NotCaptured
		}
		n := r.pos - r.start
		r.begun = false
		r.sink.Skip(Response, int(n), why)
		r.muted, r.why = true, why
		return
	}
	m := replyMessage(&r.reply)
	r.head(m)
	switch p.kind {
	case redisMonitor:
		s.monitoring = s.monitoring || m.Fault == NoFault
	case redisSelect:
		if m.Fault != NoFault {
			// Commands sent behind it have been told the wrong database, if any was sent already.
			s.namespace, s.namespaceKnown = int(p.count)-1, p.count > 0 && s.order.waiting() == 1
		}
	case redisHello3:
		s.resp3 = s.resp3 || m.Fault == NoFault
	case redisReset:
		if m.Fault == NoFault {
			s.resp3, s.subscribed, s.monitoring, s.confirmations = false, false, false, 0
		}
	case redisSync:
		if m.Fault == NoFault {
			s.replicate()
		}
	}
}

// replicate hands the connection to replication, which is no RESP: the snapshot has no line end.
func (s *redis) replicate() {
	s.ask.abandon(Tunnel)
	s.ask.flush()
	s.answer.end(Upgraded)
	s.order = order{}
	s.ask.state, s.answer.state = redisTunnel, redisTunnel
}

func isConfirmation(kind []byte) bool {
	return bytes.HasSuffix(kind, []byte("subscribe")) && isPubSub(kind)
}

func isPubSub(kind []byte) bool {
	switch string(kind) {
	case "message", "pmessage", "smessage", "subscribe", "psubscribe", "ssubscribe",
		"unsubscribe", "punsubscribe", "sunsubscribe":
		return true
	}
	return false
}

// replyComplete: the last byte of the reply has been read.
func (s *redis) replyComplete() {
	r := &s.answer
	if !s.resp3 && s.subscribed && r.reply.top == '*' && r.reply.last == 0 {
		if kind := r.reply.first[:r.reply.firstLen]; isConfirmation(kind) && bytes.Contains(kind, []byte("unsub")) {
			s.subscribed = false // of nothing any more
		}
	}
	if r.muted {
		if p := s.order.at(s.order.first); p != nil && (p.kind == redisVoid) {
			s.order.pop()
		}
	}
	s.endReply(Complete)
	r.state = redisBoundary
}

// endReply ends the reply under way at the current position. The caller sets the state.
func (s *redis) endReply(how Completion) {
	r, a := &s.answer, &s.ask
	if r.begun && !r.push {
		if a.state == redisUnknown && a.begun && s.current == s.order.first {
			a.end(Assumed)
			a.state = redisSeek
		}
		s.order.pop()
	}
	r.end(how)
}

func (s *redis) giveUpReply(rest int, why Reason) {
	s.answer.blame(why)
	s.answer.take(rest)
	s.answer.state = redisSeek
	s.dropReply(why)
}

func (s *redis) dropReply(why Reason) {
	s.confirmations = 0
	if s.answer.begun && !s.answer.push {
		s.dropResponse(why)
	} else {
		s.answer.abandon(why)
		s.loseResponses()
	}
	s.order.lost = true
}

// leapReply passes over n bytes of the response direction that were not captured.
func (s *redis) leapReply(n int) {
	r := &s.answer
	for n > 0 {
		switch r.state {
		case redisMessage:
			k, done := r.reply.leap(n)
			r.take(k)
			n -= k
			if r.begun && !r.headed {
				s.classify(done)
			}
			switch {
			case r.state == redisTunnel:
			case done:
				s.replyComplete()
			case n > 0 && r.begun && r.headed && s.order.waiting() <= 1:
				r.state = redisUnknown
			case n > 0 && r.begun && r.headed:
				// The missing bytes may hold any of the other replies.
				s.endReply(Assumed)
				r.state = redisSeek
				s.loseResponses()
				r.pass(n, NotCaptured)
				return
			case n > 0:
				s.giveUpReply(n, NotCaptured)
				return
			}
		case redisUnknown:
			r.take(n)
			return
		case redisTunnel:
			r.pass(n, Tunnel)
			return
		case redisClosed:
			r.pass(n, NotCaptured)
			return
		default:
			r.state = redisSeek
			s.passReply(n, NotCaptured)
			s.order.lost = true
			return
		}
	}
}

// pushMessage is a value that the server sends unasked.
func pushMessage(kind []byte) *Message {
	m := &Message{Name: "PUSH", OneWay: true}
	m.Attributes = append(make([]Attr, 0, 2), String("db.system.name", "redis"))
	if isCommandWord(kind) && len(kind) <= maxWord {
		m.Name = upperName(kind)
		m.Attributes = append(m.Attributes, String("db.operation.name", m.Name))
	}
	return m
}

// replyMessage is a reply as a span tells it: an error's prefix, never its text, which may quote
// arguments.
func replyMessage(r *reply) *Message {
	m := &Message{}
	if r.top != '-' && r.top != '!' {
		return m
	}
	m.Fault = ServerFault
	prefix, _ := cutByte(r.first[:r.firstLen], ' ')
	if len(prefix) == 0 || len(prefix) > maxWord {
		prefix = nil
	}
	for _, c := range prefix {
		if (c < 'A' || c > 'Z') && c != '_' {
			prefix = nil
			break
		}
	}
	if prefix == nil {
		m.Attributes = []Attr{String("error.type", "_OTHER")}
		return m
	}
	m.FaultText = string(prefix)
	m.Attributes = []Attr{String("db.response.status_code", m.FaultText), String("error.type", m.FaultText)}
	return m
}
