package exchange

import (
	"math/bits"
	"slices"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/protocol"
)

// The methods of protocol.Sink: a session calls them while c.now is the record being fed.

// Begin implements protocol.Sink.
func (c *conn) Begin(dir protocol.Direction, off uint64) {
	h := &half{first: c.now, seq: c.streams[dir].origin + uint32(off)}
	if dir == protocol.Request {
		c.req = h
		return
	}
	c.resp, c.answered = h, nil
}

// Head implements protocol.Sink.
func (c *conn) Head(dir protocol.Direction, _ uint64, m *protocol.Message) {
	if dir == protocol.Request {
		c.requestHead(m)
		return
	}
	if c.resp == nil || m.OneWay {
		c.resp = nil
		return
	}
	c.resp.msg = m
	c.answered = c.match(m)
	if c.answered == nil {
		c.table.counts.Unpaired.Add(1)
		c.unread(c.resp.first.ts, c.now.ts)
	}
}

func (c *conn) requestHead(m *protocol.Message) {
	if c.req == nil {
		return
	}
	c.req.msg, c.req.head = m, c.now
	r := &request{half: *c.req}
	if c.server {
		r.epoch = c.epochOf(r)
		x := c.exchange(r)
		c.table.sink.Began(x)
	} else {
		c.neighbours(r)
	}
	if m.OneWay {
		c.emit(r, nil, NotOwed, c.now.ts)
		return
	}
	if len(c.open) >= maxOpen {
		c.table.counts.Unpaired.Add(uint64(len(c.open)))
		c.unread(c.open[0].first.ts, c.now.ts)
		c.open = c.open[:0]
	}
	c.open = append(c.open, r)
}

// epochOf names a request. The kernel's epoch is that of the turn in which the head was complete;
// where several heads were in one turn (pipelining), the later ones get a number made from it.
func (c *conn) epochOf(r *request) uint64 {
	turn := r.head.turn
	if turn != c.lastTurn {
		c.lastTurn, c.inTurn = turn, 0
	}
	c.inTurn++
	if c.inTurn == 1 || turn == 0 {
		return turn
	}
	return mix(turn ^ c.inTurn<<48)
}

// neighbours notes which other requests of its connection r was written among.
func (c *conn) neighbours(r *request) {
	if turn := r.first.turn; turn != c.lastTurn {
		c.lastTurn, c.lastSeq = turn, r.first.seq
	}
	r.later = r.first.seq != c.lastSeq
	for _, other := range c.open {
		if other.first.seq == r.first.seq {
			r.together, other.together = true, true
		} else {
			r.overlapped, other.overlapped = true, true
		}
	}
}

// mix is the finaliser of a 64-bit hash (a bijection): distinct numbers stay distinct.
func mix(x uint64) uint64 {
	x ^= bits.RotateLeft64(x, 25) ^ bits.RotateLeft64(x, 50)
	x *= 0xa24baed4963ee407
	x ^= bits.RotateLeft64(x, 24) ^ bits.RotateLeft64(x, 49)
	x *= 0x9fb21c651e98df25
	return x ^ x>>28
}

// match finds the request that a response answers: by correlation where the protocol has one, else
// the oldest. That responses and requests stay in step after a loss is the session's care.
func (c *conn) match(m *protocol.Message) *request {
	for i, r := range c.open {
		if r.msg.Correlation != m.Correlation {
			continue
		}
		c.open = slices.Delete(c.open, i, i+1)
		return r
	}
	return nil
}

// End implements protocol.Sink.
func (c *conn) End(dir protocol.Direction, _ uint64, how protocol.Completion) {
	if dir == protocol.Request {
		c.req = nil
		return
	}
	resp, r := c.resp, c.answered
	c.resp, c.answered = nil, nil
	if resp == nil || r == nil {
		return
	}
	outcome := Answered
	switch how {
	case protocol.Cut:
		outcome = Broken
		fallthrough
	case protocol.Assumed, protocol.Closed:
		// That it was the end became known later.
		if last := c.streams[dir].last; last.ts != 0 {
			c.now = last
		}
	}
	c.emit(r, resp, outcome, c.now.ts)
}

// Skip implements protocol.Sink. A message that was under way is abandoned, and what belongs to it
// in the other direction with it: a request keeps its facts and loses its answer.
func (c *conn) Skip(dir protocol.Direction, n int, why protocol.Reason) {
	c.table.counts.Skipped[why].Add(uint64(n))
	from := c.now.ts
	if dir == protocol.Request {
		if c.req != nil {
			from = min(from, c.req.first.ts)
		}
		// Another request may have been among them. Those that come after it are nobody's until the session knows which
		// responses are theirs.
		for _, r := range c.open {
			r.overlapped = true
		}
	}
	c.unread(from, c.now.ts)
	var gone *request
	switch {
	case dir == protocol.Request && c.req != nil:
		gone = c.waiting(c.req.seq)
		c.req = nil
	case dir == protocol.Response && c.resp != nil:
		if gone = c.answered; gone == nil && len(c.open) > 0 {
			gone = c.open[0]
		}
		c.resp, c.answered = nil, nil
	}
	if gone == nil {
		return
	}
	c.drop(gone)
	c.table.counts.Unpaired.Add(1)
	c.emit(gone, nil, Lost, c.now.ts)
}

// waiting finds the open request that begins at seq.
func (c *conn) waiting(seq uint32) *request {
	for _, r := range c.open {
		if r.seq == seq {
			return r
		}
	}
	return nil
}

// drop removes r from the open requests, if it is there.
func (c *conn) drop(r *request) {
	if i := slices.Index(c.open, r); i >= 0 {
		c.open = slices.Delete(c.open, i, i+1)
	}
}

func (c *conn) exchange(r *request) *Exchange {
	who := r.first
	if c.server {
		who = r.head // Go reads the first byte of a request in another goroutine
	}
	return &Exchange{
		Server: c.server, Protocol: c.proto, Request: r.msg, Conn: c.id, Local: c.local, Peer: c.peer,
		Tgid: c.tgid, Epoch: r.epoch, Turn: who.turn, Tid: who.tid, Context: who.context, ContextKind: who.contextKind,
		ParentContext: who.parentContext, Later: r.later, Together: r.together,
		Overlapped: r.overlapped, ReqSeq: r.seq, Start: r.first.ts,
	}
}

func (c *conn) emit(r *request, resp *half, outcome Outcome, end uint64) {
	x := c.exchange(r)
	x.Outcome, x.End = outcome, max(end, x.Start)
	x.Whole = outcome == Answered && !r.gap
	x.EndTid, x.EndContext, x.EndContextKind = c.now.tid, c.now.context, c.now.contextKind
	if resp != nil {
		x.Response, x.RespSeq = resp.msg, resp.seq
	}
	c.table.sink.Done(x)
}

// announce emits the exchanges that have been open for long as pending, once each.
func (c *conn) announce(before, now uint64) {
	for _, r := range c.open {
		if !r.announced && r.first.ts < before {
			r.announced = true
			x := c.exchange(r)
			x.Pending, x.End = true, now
			c.table.sink.Done(x)
		}
	}
}
