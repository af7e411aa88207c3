package exchange

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/protocol"

// UnderWay gives what a process has begun at client ends and what is not Done, or not understood yet.
func (t *Table) UnderWay(tgid uint32, each func(*UnderWay)) {
	for c := range t.busy[tgid] {
		c.underWay(each)
	}
}

// note keeps table.busy: the client ends at which something is under way. Those are few among all.
func (c *conn) note() {
	busy := !c.server && (len(c.open) > 0 || len(c.held) > 0 || len(c.parked) > 0 || c.headless())
	if busy == c.busy {
		return
	}
	c.busy = busy
	of := c.table.busy[c.tgid]
	switch {
	case !busy:
		delete(of, c)
		if len(of) == 0 {
			delete(c.table.busy, c.tgid)
		}
	case of == nil:
		c.table.busy[c.tgid] = map[*conn]struct{}{c: {}}
	default:
		of[c] = struct{}{}
	}
}

// headless: a request has begun, and its head is not complete.
func (c *conn) headless() bool { return c.req != nil && c.req.msg == nil }

func (c *conn) underWay(each func(*UnderWay)) {
	for _, r := range c.open {
		x := r.first
		each(&UnderWay{
			Turn: x.turn, Tid: x.tid, Context: x.context, ContextKind: x.contextKind,
			Later: r.later, Together: r.together, Overlapped: r.overlapped, Start: x.ts,
		})
	}
	if c.headless() {
		each(&UnderWay{Start: c.req.first.ts})
	}
	for _, pieces := range [][]piece{c.held, c.parked} {
		for i := range pieces {
			if p := &pieces[i].meta; p.dir == protocol.Request {
				each(&UnderWay{Start: p.ts})
			}
		}
	}
}

// unread says of a client end that bytes moved which nobody understands.
func (c *conn) unread(from, to uint64) {
	if !c.server {
		c.table.sink.Unread(c.tgid, from, to)
	}
}
