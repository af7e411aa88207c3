package exchange

import (
	"net/netip"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/protocol"
)

// Limits of one connection.
const (
	maxParked      = 128       // records out of order
	maxParkedBytes = 512 << 10 // their payload
	maxHeld        = 16        // records before the protocol is known
	maxAttempts    = 64        // records that begin no known message, on a connection found mid-stream
	maxOpen        = 1024      // requests that await a response
)

// piece is a record that is being used, or kept for later.
type piece struct {
	meta
	payload []byte
	n       int // bytes on the wire
}

// meta is what later steps need of a record.
type meta struct {
	ts                     uint64
	turn                   uint64
	context, parentContext uint64
	contextKind            uint8
	seq, otherSeq          uint32
	tid                    uint32
	dir                    protocol.Direction
	in                     bool
}

// stream is one direction.
type stream struct {
	started bool
	next    uint32 // sequence number that continues it
	origin  uint32 // sequence number of offset 0 of the session
	last    meta   // of the last record
}

// half is a message that is under way.
type half struct {
	msg   *protocol.Message
	first meta // of the record with its first byte
	head  meta // of the record with the last byte of its head
	seq   uint32
}

// request awaits its response.
type request struct {
	half
	epoch     uint64
	announced bool
	// at the client end, as in Exchange
	later, together, overlapped bool
	gap                         bool // bytes moved unseen since its head
}

type conn struct {
	table       *Table
	id          uint64
	tgid        uint32
	server      bool
	midStream   bool
	quiet       bool   // nothing had moved for a while when it was found
	heard       uint64 // ts of the last bytes before the first message that was recognised
	local, peer netip.AddrPort

	streams [2]stream // by protocol.Direction
	parked  []piece
	bytes   int // payload in parked
	since   uint64

	proto    *protocol.Protocol
	session  protocol.Session
	held     []piece
	attempts int
	ignored  bool // speaks something else, or TLS

	now      meta // the record being fed
	req      *half
	resp     *half
	answered *request // the request that resp answers
	open     []*request
	lastTurn uint64
	lastSeq  uint32 // client: the write with which lastTurn began
	inTurn   uint64 // requests whose heads ended in lastTurn
	last     uint64 // ts of the last record
	idled    bool
	busy     bool // in table.busy
}

// add takes the next record of the connection, in whatever order.
func (c *conn) add(d *event.Data) {
	p := piece{
		meta: meta{
			ts: d.Ts, turn: d.Turn, context: d.Context, parentContext: d.ParentContext, contextKind: d.ContextKind, seq: d.Seq,
			otherSeq: d.OtherSeq, tid: d.Tid, in: d.Dir == event.In,
			dir: protocol.Response,
		},
		payload: d.Payload, n: int(d.Len),
	}
	if p.in == c.server {
		p.dir = protocol.Request
	}
	c.last, c.idled = max(c.last, d.Ts), false
	if c.ignored {
		c.unread(d.Ts, d.Ts)
		return
	}
	if !c.ready(&p) {
		if p.in && c.session == nil {
			c.unread(p.ts, p.ts) // nobody may ever write what it is the answer to
		}
		c.park(p)
		if s := &c.streams[p.dir]; !p.in && (!s.started || p.seq == s.next) {
			c.retry() // a read may have waited to know of it
		}
		return
	}
	c.take(p)
	c.retry()
}

// ahead is how many bytes of the other direction had moved before p, as far as p knows, beyond those of
// other. A read counts this end's FIN among them, which is no byte; a write of a single byte would be
// mistaken for it, and holds no request.
func (p *piece) ahead(other *stream) int32 {
	n := int32(p.otherSeq - other.next)
	if p.in && n == 1 {
		return 0
	}
	return n
}

// ready tells whether p is next: it continues its stream, and what had moved the other way before it
// is known. A write is recorded when its system call ends, which may be after its answer was read.
//
// What a write says of the other direction was true before its bytes left. What a read says was
// measured after its bytes came, so writes that were under way meanwhile are in it: where each waits
// for the other, the read was first.
func (c *conn) ready(p *piece) bool {
	s, other := &c.streams[p.dir], &c.streams[1-p.dir]
	if s.started && int32(p.seq-s.next) > 0 {
		return false
	}
	if !other.started {
		return c.server || c.opens(p)
	}
	if p.ahead(other) <= 0 {
		return true
	}
	if !p.in {
		return false
	}
	for i := range c.parked {
		q := &c.parked[i]
		if !q.in && q.seq == other.next && s.started && int32(q.otherSeq-s.next) > 0 {
			return true
		}
	}
	return false
}

// opens tells whether p is next where nothing is known of the other direction of a client's connection: of what is
// read and what is written first, the write says which was. A read waits for it, once.
func (c *conn) opens(p *piece) bool {
	writes := false
	for i := range c.parked {
		q := &c.parked[i]
		if q.in == p.in {
			continue
		}
		read, write := &p.meta, &q.meta
		if !p.in {
			read, write = write, read
		}
		if int32(write.otherSeq-read.seq) > 0 { // the server spoke first
			return p.in
		}
		writes = p.in
	}
	return !p.in || c.streams[p.dir].started && !writes
}

func (c *conn) park(p piece) {
	if len(c.parked) == 0 {
		c.since = p.ts
	}
	if len(c.parked) >= maxParked || c.bytes+len(p.payload) > maxParkedBytes {
		c.table.counts.ParkedFull.Add(1)
		c.unpark()
		c.take(p)
		return
	}
	p.payload = append([]byte(nil), p.payload...)
	c.bytes += len(p.payload)
	c.parked = append(c.parked, p)
	c.table.waiting[c.id] = c
}

// retry takes parked records for as long as one fits.
func (c *conn) retry() {
	for again := true; again && len(c.parked) > 0; {
		again = false
		for i := range c.parked {
			if p := c.parked[i]; c.ready(&p) {
				c.parked = append(c.parked[:i], c.parked[i+1:]...)
				c.bytes -= len(p.payload)
				c.take(p)
				again = true
				break
			}
		}
	}
	if len(c.parked) == 0 {
		delete(c.table.waiting, c.id)
	}
}

// unpark gives up waiting: the earliest parked record is taken with the gap before it.
func (c *conn) unpark() {
	for len(c.parked) > 0 {
		first := 0
		for i := range c.parked {
			if c.parked[i].ts < c.parked[first].ts {
				first = i
			}
		}
		p := c.parked[first]
		c.parked = append(c.parked[:first], c.parked[first+1:]...)
		c.bytes -= len(p.payload)
		c.take(p)
		c.retry()
	}
	delete(c.table.waiting, c.id)
}

// take feeds p, and before it what passed unseen: bytes of either direction that came before it and
// whose record will not come any more.
func (c *conn) take(p piece) {
	s, other := &c.streams[p.dir], &c.streams[1-p.dir]
	if !s.started {
		s.start(p.seq)
	}
	if !other.started && (!p.in || c.server) {
		// A server has written nothing before its first request; a client's first answer may be
		// recorded before the request that it answers.
		other.start(p.otherSeq)
	}
	if other.started && p.ahead(other) > 0 && !c.overtakes(&p) {
		c.gap(other, 1-p.dir, p.meta, p.otherSeq)
	}
	c.gap(s, p.dir, p.meta, p.seq)
	if behind := s.next - p.seq; behind > 0 {
		c.table.counts.Duplicates.Add(1)
		if int(behind) >= p.n {
			return
		}
		p.n -= int(behind)
		p.payload = p.payload[min(len(p.payload), int(behind)):]
		p.seq = s.next
	}
	s.last = p.meta
	c.feed(p)
	s.next += uint32(p.n)
}

func (s *stream) start(seq uint32) { s.started, s.next, s.origin = true, seq, seq }

// overtakes: p was read while writes were under way whose records are there, and come after it.
func (c *conn) overtakes(p *piece) bool {
	if !p.in {
		return false
	}
	for i := range c.parked {
		if q := &c.parked[i].meta; !q.in && int32(q.seq-p.otherSeq) < 0 {
			return true
		}
	}
	return false
}

// gap feeds the bytes of s up to seq as bytes that were not captured.
func (c *conn) gap(s *stream, dir protocol.Direction, at meta, seq uint32) {
	ahead := int32(seq - s.next)
	if ahead <= 0 {
		return
	}
	c.table.counts.GapBytes.Add(uint64(ahead))
	from := at.ts
	if s.last.ts != 0 {
		from = min(from, s.last.ts)
	}
	c.unread(from, at.ts)
	for _, r := range c.open {
		r.gap = true
	}
	if c.answered != nil {
		c.answered.gap = true
	}
	at.dir, at.seq = dir, s.next
	c.feed(piece{meta: at, n: int(ahead)})
	s.next = seq
}

func (c *conn) feed(p piece) {
	if c.ignored {
		return
	}
	if c.session == nil {
		c.detect(p)
		return
	}
	c.now = p.meta
	c.session.Feed(p.dir, protocol.Chunk{Data: p.payload, Len: p.n})
}

// detect looks for the first request whose beginning is the beginning of a record.
func (c *conn) detect(p piece) {
	if p.dir != protocol.Request || len(p.payload) == 0 {
		c.beforeFirst(&p)
		c.dropHeld()
		return
	}
	p.payload = append([]byte(nil), p.payload...)
	c.held = append(c.held, p)
	for len(c.held) > 0 {
		proto, verdict := c.ask()
		switch {
		case verdict == protocol.Yes:
			c.begin(proto)
			return
		case verdict == protocol.More && len(c.held) < maxHeld:
			return
		}
		first := c.held[0]
		c.held = c.held[1:]
		c.beforeFirst(&first)
		c.attempts++
		if tls(first.payload) {
			c.ignore(&c.table.counts.TLSConns)
			return
		}
		if c.attempts >= maxAttempts || !c.midStream && c.attempts >= 4 {
			c.ignore(&c.table.counts.UnknownConns)
			return
		}
	}
}

// ask puts the held bytes to every protocol.
func (c *conn) ask() (*protocol.Protocol, protocol.Verdict) {
	data := c.held[0].payload
	if len(c.held) > 1 {
		data = nil
		for _, h := range c.held {
			data = append(data, h.payload...)
			if len(h.payload) < h.n {
				break
			}
		}
	}
	verdict := protocol.No
	for i := range c.table.protocols {
		switch p := &c.table.protocols[i]; p.Detect(protocol.Request, data) {
		case protocol.Yes:
			return p, protocol.Yes
		case protocol.More:
			verdict = protocol.More
		}
	}
	return nil, verdict
}

func (c *conn) begin(p *protocol.Protocol) {
	c.proto = p
	options := c.table.options.Protocol
	options.Joined = c.midStream && !c.quiet && !c.silent(c.held[0].ts)
	c.session = p.New(options, c)
	held := c.held
	c.held = nil
	c.streams[protocol.Request].origin = held[0].seq
	if s := &c.streams[protocol.Response]; s.started {
		s.origin = s.next
	}
	for _, h := range held {
		c.feed(h)
	}
}

// dropHeld forgets held records: a gap or the other direction came between.
func (c *conn) dropHeld() {
	for i := range c.held {
		c.beforeFirst(&c.held[i])
	}
	c.held = nil
}

// beforeFirst passes over bytes that come before the first message.
func (c *conn) beforeFirst(p *piece) {
	c.table.counts.MidStreamBytes.Add(uint64(p.n))
	c.heard = max(c.heard, p.ts)
	c.unread(p.ts, p.ts)
}

// silent: at ts nothing had moved for a while, so that no request from before is on its way. What moved when tracing
// began (the end of an answer) does not matter any more then.
func (c *conn) silent(ts uint64) bool {
	if c.table.options.WatchedSince == nil {
		return false
	}
	since := c.table.options.WatchedSince(c.tgid)
	return since != 0 && ts > max(since, c.heard)+uint64(quietAfter)
}

func (c *conn) ignore(count interface{ Add(uint64) uint64 }) {
	count.Add(1)
	for _, pieces := range [][]piece{c.held, c.parked} {
		for _, p := range pieces {
			c.unread(p.ts, p.ts)
		}
	}
	c.ignored, c.held, c.parked, c.bytes = true, nil, nil, 0
	delete(c.table.waiting, c.id)
}

// tls recognises a TLS handshake record (RFC 8446 section 5.1).
func tls(b []byte) bool { return len(b) >= 3 && b[0] == 0x16 && b[1] == 3 && b[2] <= 4 }

// finish is the end of the connection.
func (c *conn) finish(ts uint64) {
	c.unpark()
	c.dropHeld()
	if c.session != nil {
		c.now = meta{ts: ts, dir: protocol.Response}
		c.session.Close(protocol.Response)
		c.now.dir = protocol.Request
		c.session.Close(protocol.Request)
	}
	for _, r := range c.open {
		c.emit(r, nil, Broken, ts)
	}
	c.open, c.req = nil, nil
	c.note()
}
