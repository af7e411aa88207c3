package causality

// connections are trials by the type of what goroutines that opened connections gave to others in the middle of their tasks
// (channel_dialed). A client of Go does so with what it has opened for another that needs it no more. A program may as
// well do so with tasks that begin with a connection; then its type is another one, and every one of its calls would be
// somebody else's. Of each type it is learned by the calls that come back.
type connections map[uint64]*trial

// maxConnections bounds the types of a process: those that come later prove nothing.
const maxConnections = 64

func (m *connections) of(kind uint64) *trial {
	if t := (*m)[kind]; t != nil {
		return t
	}
	if *m == nil {
		*m = connections{}
	}
	t := &trial{}
	if len(*m) < maxConnections {
		(*m)[kind] = t
	}
	return t
}

// byConnections is the trial of the type of the connection that an edge rests on.
func byConnections(_ *Solver, p *process, e *edge, _ *Call) *trial { return p.dialed.of(e.base) }

// firstUses: as sure, but for the way back, which is what the kind is compared with; base is no hand-over.
var firstUses = rule{HandOverUnseen, func(_ *Solver, e *edge, _ *Call) bool { return e.uses <= 1 }}
