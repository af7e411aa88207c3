package protocol

// redis follows one connection to a Redis server.
//
// Replies come in the order of commands, but for pushes (RESP3 '>', and in RESP2 what a subscriber
// or a monitor is sent), which are responses with OneWay. A SUBSCRIBE is answered by its first
// confirmation; those of its other channels are pushes. MULTI, the queued commands and EXEC are
// exchanges of their own.
//
// The end of a message whose framing was not captured is found as http1 finds it, except that a
// reply has too little shape to be recognised by its looks: after a loss, replies are passed over
// until a turn or a quiet moment (order.go).
type redis struct {
	dialogue
	opts Options
	ask  struct {
		flow
		state redisState
		command
		// sought: the command was found by its looks.
		sought bool
	}
	answer struct {
		flow
		state redisState
		reply
		// push: the value under way answers no command.
		push bool
	}

	// namespace is the database of SELECT, when it is known.
	namespace      int
	namespaceKnown bool
	// silent: CLIENT REPLY OFF; skipNext: CLIENT REPLY SKIP.
	silent, skipNext bool
	// resp3: HELLO 3 has been accepted, so pushes have a type of their own.
	resp3 bool
	// subscribed, monitoring: the server may send without being asked.
	subscribed, monitoring bool
	// confirmations are still to come from the last SUBSCRIBE that was answered.
	confirmations uint32
}

type redisState uint8

const (
	redisSeek redisState = iota
	redisBoundary
	redisMessage
	redisUnknown
	redisTunnel
	redisClosed
)

// What a pending command means for its reply (pending.kind).
const (
	redisPlain uint8 = iota
	redisSubscribe
	redisMonitor
	redisHello3
	redisReset
	// redisSync: the connection becomes a replication stream.
	redisSync
	// redisSelect: whether the database has changed.
	redisSelect
	// redisVoid: the command's name was not captured, so its reply is passed over too.
	redisVoid
)

func (s *redis) Feed(dir Direction, c Chunk) {
	gap := max(c.Len-len(c.Data), 0)
	if dir == Response {
		if len(c.Data)+gap > 0 {
			s.order.turned = true
		}
		for data := c.Data; len(data) > 0; {
			data = data[s.readReply(data):]
		}
		if gap > 0 {
			s.leapReply(gap)
		}
		s.answer.flush()
		return
	}
	atStart := true
	for data := c.Data; len(data) > 0; atStart = false {
		data = data[s.readCommand(data, atStart):]
	}
	if gap > 0 {
		s.leapCommand(gap)
	}
	s.order.turned = false
	s.ask.flush()
}

// readCommand consumes at least one byte of the request direction.
func (s *redis) readCommand(data []byte, atStart bool) int {
	a := &s.ask
	switch a.state {
	case redisUnknown:
		if !atStart || detectCommand(data) != Yes {
			a.take(len(data))
			return len(data)
		}
		if !s.order.turned || s.order.multiplexed {
			// The gap may have held more commands than the one that was seen.
			s.order.lost = true
		}
		a.end(Assumed)
		a.state = redisSeek
	case redisMessage:
		if atStart && a.sought && a.command.index == 0 && detectCommand(data) == Yes {
			s.giveUpCommand(0, NotProtocol)
			break
		}
		return s.continueCommand(data)
	case redisTunnel:
		a.pass(len(data), Tunnel)
		return len(data)
	case redisClosed:
		a.pass(len(data), NotProtocol)
		return len(data)
	}
	if a.state == redisSeek && (!atStart || detectCommand(data) == No) {
		s.order.lost = true
		a.pass(len(data), NotProtocol)
		return len(data)
	}
	if c := data[0]; a.state == redisBoundary && (c == '\r' || c == '\n') {
		a.pass(1, NotProtocol) // an empty inline command, which the server ignores
		return 1
	}
	a.sought = a.state == redisSeek
	s.startCommand()
	return s.continueCommand(data)
}

func (s *redis) startCommand() {
	a, r := &s.ask, &s.answer
	a.state = redisMessage
	a.command.wantRaw = s.opts.RawArguments
	a.command.reset()
	if r.state == redisUnknown && s.order.turned && s.order.waiting() <= 1 {
		s.endReply(Assumed)
		r.state = redisSeek
		s.order.lost = s.order.lost || s.order.multiplexed
	}
	ok, why := s.order.admit()
	if !ok {
		a.mute(why)
		return
	}
	if s.order.waiting() == 1 && !r.begun && r.state != redisTunnel && r.state != redisClosed &&
		(r.muted || r.state == redisSeek) {
		// A client that waited has read everything: a reply comes next.
		r.muted, r.state = false, redisBoundary
	}
	s.current = s.order.next - 1
	a.begin()
}

func (s *redis) continueCommand(data []byte) int {
	a := &s.ask
	n, out := a.command.read(data, s.opts.MaxHead)
	switch out {
	case commandMore:
		a.take(n)
		return n
	case commandDone:
		a.take(n)
		s.commandComplete()
		return n
	case commandEmpty:
		a.take(n)
		if a.begun {
			s.order.cancel(s.current)
		}
		a.abandon(NotProtocol)
		a.state = redisBoundary
		return n
	}
	why := Malformed
	switch {
	case out == commandLarge:
		why = TooLarge
	case out == commandStrange || a.sought:
		why = NotProtocol
	}
	s.giveUpCommand(len(data), why)
	return len(data)
}

func (s *redis) giveUpCommand(rest int, why Reason) {
	s.ask.blame(why)
	s.ask.take(rest)
	s.ask.state = redisSeek
	s.dropRequest(why)
}

// commandComplete: the last byte of the command has been read.
func (s *redis) commandComplete() {
	a := &s.ask
	a.state = redisBoundary
	if !s.announce() {
		s.voidCommand()
		return
	}
	a.end(Complete)
}

// announce reports the command's head and notes what it changes. False: its name is not known.
func (s *redis) announce() bool {
	a := &s.ask
	name, sub := a.command.name()
	if name == "" {
		return false
	}
	p := s.order.at(s.current)
	if p == nil || !a.begun {
		p = &pending{} // nobody asks
	}
	namespace := -1
	if s.namespaceKnown {
		namespace = s.namespace
	}
	silent := s.silent || s.skipNext
	s.skipNext = false
	switch name {
	case "SELECT":
		if p.kind = redisSelect; s.namespaceKnown {
			p.count = uint32(s.namespace) + 1 // where a refusal leaves it
		}
		if n, ok := parseDecimal(a.command.text(1)); ok && n < 1<<20 {
			s.namespace, s.namespaceKnown = int(n), true
			namespace = s.namespace
		} else {
			s.namespaceKnown, namespace = false, -1
		}
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE":
		p.kind, s.subscribed = redisSubscribe, true
		p.count = uint32(min(a.command.count-1, 1<<31))
	case "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE":
		p.kind = redisSubscribe
		p.count = uint32(max(1, min(a.command.count-1, 1<<31)))
	case "MONITOR":
		p.kind = redisMonitor
	case "HELLO":
		if string(a.command.text(1)) == "3" {
			p.kind = redisHello3
		}
	case "RESET":
		p.kind = redisReset
		s.namespace, s.namespaceKnown, s.silent = 0, true, false
		silent = false
	case "SYNC", "PSYNC":
		p.kind = redisSync
	case "CLIENT":
		if sub == "REPLY" {
			switch upperName(a.command.text(2)) {
			case "OFF":
				s.silent, silent = true, true
			case "SKIP":
				s.skipNext, silent = !s.silent, true
			case "ON":
				s.silent, silent = false, false
			}
		}
	}
	if !a.begun {
		return true
	}
	m := a.command.message(name, sub, namespace)
	// A command that has its reply already was not as silent as it seemed.
	if silent && s.order.at(s.current) != nil && !(s.current == s.order.first && s.answer.begun) {
		m.OneWay = true
		s.order.cancel(s.current)
	}
	a.head(m)
	return true
}

// voidCommand passes over a command whose name is not known, and its reply.
func (s *redis) voidCommand() {
	a := &s.ask
	if !a.begun {
		a.muted = false
		return
	}
	if p := s.order.at(s.current); p != nil {
		p.kind = redisVoid
		if s.current == s.order.first && s.answer.begun {
			s.answer.abandon(NotCaptured)
			s.answer.muted, s.answer.why = true, NotCaptured
		}
	}
	a.abandon(NotCaptured)
}

// leapCommand passes over n bytes of the request direction that were not captured.
func (s *redis) leapCommand(n int) {
	a := &s.ask
	for n > 0 {
		switch a.state {
		case redisMessage:
			k, done := a.command.leap(n)
			a.take(k)
			n -= k
			switch {
			case done:
				s.commandComplete()
			case n > 0 && a.command.index > 0 && a.command.state == commandSize && s.announce():
				a.state = redisUnknown
				// More commands may follow unseen; a turn will tell, if turns tell anything.
				s.order.lost = s.order.lost || s.order.multiplexed
			case n > 0:
				s.giveUpCommand(n, NotCaptured)
				return
			}
		case redisUnknown:
			a.take(n)
			return
		case redisTunnel:
			a.pass(n, Tunnel)
			return
		default:
			if a.state != redisClosed {
				a.state = redisSeek
			}
			s.order.lost = true
			a.pass(n, NotCaptured)
			return
		}
	}
}

func (s *redis) Close(dir Direction) {
	if dir == Response {
		r := &s.answer
		switch {
		case r.state == redisClosed:
			return
		case r.state == redisUnknown:
			s.endReply(Assumed)
		case r.begun && r.headed:
			s.endReply(Cut)
		default:
			r.abandon(Malformed)
		}
		r.flush()
		r.state, r.muted = redisClosed, false
		if s.ask.state == redisUnknown {
			s.ask.end(Assumed)
			s.ask.flush()
			s.ask.state = redisSeek
		}
		s.order = order{lost: s.order.lost, multiplexed: s.order.multiplexed}
		return
	}
	a := &s.ask
	switch {
	case a.state == redisClosed:
		return
	case a.state == redisUnknown:
		a.end(Assumed)
	case a.begun && a.command.index > 0 && s.announce():
		a.end(Cut)
	default:
		s.dropRequest(Malformed)
	}
	a.flush()
	a.state, a.muted = redisClosed, false
	a.command.line, a.command.raw = nil, nil
}

func (s *redis) Idle() {
	if s.ask.state == redisUnknown {
		s.ask.end(Assumed)
		s.ask.flush()
		s.ask.state = redisBoundary
	}
	r := &s.answer
	if r.state == redisUnknown {
		s.endReply(Assumed)
		r.flush()
		r.state = redisBoundary
	}
	s.order.idle()
	if !s.order.lost {
		// Nothing is on its way: whatever comes next begins a message.
		if r.state == redisSeek {
			r.state, r.muted = redisBoundary, false
		}
	}
}
