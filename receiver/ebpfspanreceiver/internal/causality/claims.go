package causality

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"

// claims counts, by request, the calls of which it looks as if it had led to them: a loop wrote them in the
// round in which it had read the request. A timer that fires then looks the same. So what such a call says
// of its request is worth as much as it is certain that nothing but the request makes calls then: if it has
// as many as others have, and hardly any has one less, which a timer's would make up for. Where a loop sees to its
// timers last, it is the first; and where only its response was there before the answer, the others were not waited
// for.
//
// Requests that lead to none, and are answered without any response, tell nothing.
type claims struct{ generations[uint64, fan] }

// fan is how many calls a request has, and those that came after the first, as far as there is room.
type fan struct {
	n     uint8
	later [2]uint64
}

// maxClaims are told apart, and maxClaimed requests kept in a generation: more than are open at once.
const (
	maxClaims  = 15
	maxClaimed = 1 << 15
)

// claimed: a request has one more call. Returns how many it has.
func (m *claims) claimed(request, call uint64) uint8 {
	c, _ := m.get(request)
	if i := int(c.n) - 1; i >= 0 && i < len(c.later) {
		c.later[i] = call
	}
	c.n = min(c.n+1, maxClaims)
	m.note(request, c)
	return c.n
}

// answered: a response has led to the answer of a request. Returns how many calls it has.
func (m *claims) answered(request uint64) uint8 {
	c, _ := m.get(request)
	m.note(request, c)
	return c.n
}

func (m *claims) note(request uint64, c fan) {
	if len(m.now) >= maxClaimed {
		m.turn()
	}
	m.put(request, c)
}

// fans counts the requests of a process by the number of their claims; and those with one too many, by the
// call that led to the answer.
type fans struct {
	seen         [maxClaims + 1]uint32
	first, later uint32
}

const (
	// maxFewer is how many times as often something must be seen as what speaks against it.
	maxFewer = 200
	// fansCounted is when old counts begin to fade.
	fansCounted = 8192
)

func (f *fans) saw(n uint8) {
	if f.seen[n]++; f.seen[n] < fansCounted {
		return
	}
	for i := range f.seen {
		f.seen[i] /= 2
	}
}

// usual: with that many claims, none is one too many. Not if a few requests only have shown it.
func (f *fans) usual(n uint8) bool {
	return n > 0 && n < maxClaims && f.seen[n] >= minSeen && f.seen[n-1]*maxFewer <= f.seen[n]
}

// answered: the call was the which-th of n claims, and of nothing else the response was there.
func (f *fans) answered(which, n uint8) {
	switch {
	case n < 2 || f.usual(n):
		return
	case which == 1:
		f.first++
	default:
		f.later++
	}
	if f.first+f.later > fansCounted {
		f.first, f.later = f.first/2, f.later/2
	}
}

// inOrder: what a request leads to comes before what does not.
func (f *fans) inOrder() bool { return f.later*maxFewer <= f.first }

// shownInOrder: it was seen as often as makes a loop's ways known.
func (f *fans) shownInOrder() bool { return f.first >= minSeen && f.inOrder() }

// claiming kinds rest on the order in a loop: it read the request, then it wrote the call.
func claiming(kind uint8) bool { return kind == loop || kind == connected }

func (e *edge) claims() bool { return claiming(e.kind) }

// claim notes what an edge that the kernel side reports says of claims. Returns which of its request's it is,
// or 0.
func (s *Solver) claim(e *event.Evidence, p *process) (which uint8) {
	switch {
	case claiming(e.What):
		return s.claims.claimed(e.Epoch, e.Call)
	case e.What != answer || e.Segment == 0:
		return 0
	}
	n := s.claims.answered(e.Epoch)
	r := s.ledger.find(e.Call)
	if r == nil || e.Base != 1 {
		return 0
	}
	for i := range r.edges {
		if f := &r.edges[i]; f.to == e.Epoch && f.claims() {
			p.fans.answered(f.claim, n)
		}
	}
	return 0
}

// onlyBack: of all calls of a request, the first is the only one whose response was there when the request was
// answered. What ended later than the call has waited for may not be known yet.
func (s *Solver) onlyBack(n *fan, r *served) bool {
	if r == nil || r.end == 0 || len(s.requests.turns[r.turn]) > 1 || n.n == 0 || int(n.n) > len(n.later)+1 {
		return false
	}
	for _, call := range n.later[:n.n-1] {
		end := s.ledger.find(call).overAt()
		if end <= r.end || end > r.end+uint64(s.options.Grace) {
			return false
		}
	}
	return true
}
