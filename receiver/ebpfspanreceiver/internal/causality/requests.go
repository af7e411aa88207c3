package causality

import "time"

// served is one request of a turn. Several arrive in one turn when they are pipelined; they are then
// answered one after the other, so that each is being served until its own response was sent.
type served struct {
	turn       uint64
	request    uint64
	start, end uint64 // end 0: not answered yet
	reader     Writer // or who has taken it from there, if it was
	taken      bool
	answerer   Writer // zero: not answered
	seen       bool   // the whole response was: it ended at end, and not before
	// calls are those that were linked to it; counted: that number was told, and stays.
	calls   int
	counted bool
}

// requests are those that calls may belong to, by the kernel's number of their turn.
type requests struct {
	turns map[uint64][]served
	over  []endedTurn // in order of their end
}

type endedTurn struct{ turn, at uint64 }

func newRequests() requests { return requests{turns: map[uint64][]served{}} }

// began: 0 is no number of anything, and joins nothing.
func (q *requests) began(r served) {
	if r.turn != 0 && r.request != 0 {
		q.turns[r.turn] = append(q.turns[r.turn], r)
	}
}

// ended returns the request, nil where it is not known.
func (q *requests) ended(turn, request, end uint64, answerer Writer) *served {
	list := q.turns[turn]
	var which *served
	open := false
	for i := range list {
		if list[i].request == request {
			which = &list[i]
			which.end, which.answerer = end, answerer
		}
		open = open || list[i].end == 0
	}
	if len(list) > 0 && !open {
		q.over = append(q.over, endedTurn{turn, end})
	}
	return which
}

// seen: the response of a request was, from its first byte to its last.
func (q *requests) seen(turn, request uint64) {
	if r := q.named(turn, request); r != nil {
		r.seen = true
	}
}

// at finds the request of a turn that was being served at a time.
func (q *requests) at(turn, ts uint64) *served {
	list := q.turns[turn]
	for i := range list {
		if r := &list[i]; r.end == 0 || ts <= r.end {
			return r
		}
	}
	if n := len(list); n > 0 {
		return &list[n-1]
	}
	return nil
}

// taken: the thread tid serves what is being served at a time, for whoever has read it.
func (q *requests) taken(turn, ts uint64, tid uint32) {
	if r := q.at(turn, ts); r != nil && r.end == 0 {
		r.reader, r.taken = Writer{Tgid: r.reader.Tgid, Tid: tid}, true
	}
}

// named finds a request of a turn.
func (q *requests) named(turn, request uint64) *served {
	list := q.turns[turn]
	for i := range list {
		if list[i].request == request {
			return &list[i]
		}
	}
	return nil
}

// forget drops turns that ended before: no call can refer to them any more.
func (q *requests) forget(before uint64) {
	n := 0
	for n < len(q.over) && q.over[n].at < before {
		delete(q.turns, q.over[n].turn)
		n++
	}
	q.over = q.over[n:]
}

// age drops those that were never answered.
func (q *requests) age(now uint64, maxAge time.Duration) {
	for turn, list := range q.turns {
		if last := list[len(list)-1]; now > last.start+2*uint64(maxAge) {
			delete(q.turns, turn)
		}
	}
}
