package exchange

import (
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/protocol"
)

// Options of a [Table]. Times are in nanoseconds.
type Options struct {
	Protocol protocol.Options
	// MaxConns bounds the connections that are followed.
	MaxConns int
	// PendingAfter: an exchange that is open for longer announces itself. 0: never.
	PendingAfter time.Duration
	// WatchedSince is since when the records of a process are complete, in kernel nanoseconds; 0
	// when that is not known. A connection that is older and was silent since then has no request
	// on its way.
	WatchedSince func(tgid uint32) uint64
}

// Times that no user needs to choose.
const (
	// parkFor is how long a record waits for those before it: a write that blocks because the peer
	// does not read is recorded when it ends.
	parkFor = 2 * time.Second
	// idleAfter: a session is told that nothing moves, so that it ends what it cannot see the end of.
	idleAfter = 5 * time.Second
	// forgetAfter: a connection of which nothing was heard, not even its end.
	forgetAfter = 2 * time.Hour
	// quietAfter: a client that asks again after such a silence does not wait for an answer.
	quietAfter = 500 * time.Millisecond
)

// Table holds the connections. It is used by one goroutine.
type Table struct {
	options   Options
	sink      Sink
	counts    *Counts
	protocols []protocol.Protocol
	conns     map[uint64]*conn
	waiting   map[uint64]*conn // those with parked records
	busy      map[uint32]map[*conn]struct{}
	swept     uint64
}

// NewTable makes an empty table that knows the given protocols.
func NewTable(o Options, protocols []protocol.Protocol, sink Sink, counts *Counts) *Table {
	return &Table{
		options: o, sink: sink, counts: counts, protocols: protocols,
		conns: map[uint64]*conn{}, waiting: map[uint64]*conn{}, busy: map[uint32]map[*conn]struct{}{},
	}
}

// Len is how many connections are followed.
func (t *Table) Len() int { return len(t.conns) }

// Data takes a record of bytes.
func (t *Table) Data(d *event.Data) {
	if d.Flags&event.SeqDerived != 0 {
		t.counts.Derived.Add(1)
	}
	c := t.conns[d.Conn]
	if c == nil {
		if len(t.conns) >= t.options.MaxConns {
			t.forgetOldest()
		}
		c = &conn{
			table: t, id: d.Conn, tgid: d.Tgid, server: d.Role == event.Server,
			midStream: d.Flags&event.MidStream != 0, local: d.Local(), peer: d.Peer(),
		}
		c.quiet = c.silent(d.Ts)
		t.conns[d.Conn] = c
	}
	c.add(d)
	c.note()
}

// Conn takes a change in the life of a connection. Only the end of the socket ends its streams: a FIN
// says that no more is sent, not that what was sent has been read.
func (t *Table) Conn(e *event.Conn) {
	c := t.conns[e.Conn]
	if c == nil || e.What != event.Closed {
		return
	}
	c.finish(max(e.Ts, c.last))
	delete(t.conns, e.Conn)
	delete(t.waiting, e.Conn)
}

// Tick lets time pass: now is that of the records. Some may be later.
func (t *Table) Tick(now uint64) {
	for _, c := range t.waiting {
		if now > c.since+uint64(parkFor) {
			c.unpark()
			c.note()
		}
	}
	if now < t.swept+uint64(time.Second) {
		return
	}
	t.swept = now
	for _, c := range t.conns {
		quiet := int64(now - c.last)
		if quiet > int64(idleAfter) && !c.idled && c.session != nil {
			c.idled = true
			c.now = meta{ts: c.last}
			c.session.Idle()
			c.note()
		}
		if pending := t.options.PendingAfter; pending > 0 && now > uint64(pending) {
			c.announce(now-uint64(pending), now)
		}
		if quiet > int64(forgetAfter) && len(c.open) == 0 {
			t.forget(c)
		}
	}
}

// forgetOldest makes room for one connection: the one that has been silent for longest among a few.
func (t *Table) forgetOldest() {
	var oldest *conn
	seen := 0
	for _, c := range t.conns {
		if oldest == nil || c.last < oldest.last {
			oldest = c
		}
		if seen++; seen == 32 {
			break
		}
	}
	if oldest == nil {
		return
	}
	t.forget(oldest)
}

// forget ends what is open on a connection that is not followed any longer.
func (t *Table) forget(c *conn) {
	t.counts.ForgottenConns.Add(1)
	c.finish(c.last)
	delete(t.conns, c.id)
	delete(t.waiting, c.id)
}
