package causality

// edge says that a call belongs to a request, or with another call.
type edge struct {
	epoch          uint64 // the turn of the request; of kind next: a call
	segment, base  uint64 // see struct evidence_event, bpf/event.h
	kind           uint8
	uses, baseUses uint8
}

// maxEdges bounds the evidence of one call.
const maxEdges = 16

// ledger is the edges of each call: of those that no exchange has asked for yet in two generations, so
// that what nobody asks for is forgotten, and of the answered ones, which are asked for again: several
// commands may go out in one write.
type ledger struct {
	calls, oldCalls       map[uint64][]edge
	turned                uint64
	answered, oldAnswered map[uint64][]edge
	answeredTurned        uint64
}

func newLedger() ledger {
	return ledger{calls: map[uint64][]edge{}, answered: map[uint64][]edge{}}
}

func (v *ledger) add(call uint64, e edge) {
	edges, ok := v.calls[call]
	if !ok {
		edges = v.oldCalls[call]
		delete(v.oldCalls, call)
	}
	if len(edges) < maxEdges {
		edges = append(edges, e)
	}
	v.calls[call] = edges
}

func (v *ledger) of(call uint64) []edge {
	for _, m := range [...]map[uint64][]edge{v.calls, v.oldCalls, v.answered, v.oldAnswered} {
		if e, ok := m[call]; ok {
			return e
		}
	}
	return nil
}

// due: it is time to forget.
func (v *ledger) due(now uint64) bool {
	return len(v.calls) >= maxCalls || now-v.turned >= uint64(keepFor)
}

// turn starts a generation, and says how many calls are forgotten whose exchange never came: their
// protocol is not parsed.
func (v *ledger) turn(now uint64) uint64 {
	n := uint64(len(v.oldCalls))
	v.oldCalls, v.calls = v.calls, make(map[uint64][]edge, len(v.calls)/2)
	v.turned = now
	return n
}

// use moves a call to the answered ones.
func (v *ledger) use(call uint64) {
	if edges := v.of(call); edges != nil {
		delete(v.calls, call)
		delete(v.oldCalls, call)
		v.answered[call] = edges
	}
}

// forget drops answered calls that nobody has asked for during keep.
func (v *ledger) forget(now, keep uint64) {
	if len(v.answered) > maxCalls/2 || now-v.answeredTurned > keep {
		v.oldAnswered, v.answered = v.answered, map[uint64][]edge{}
		v.answeredTurned = now
	}
}
