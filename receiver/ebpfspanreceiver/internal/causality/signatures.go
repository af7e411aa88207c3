package causality

import "slices"

// operations names the calls of a segment, in order.
type operations []uint64

// Bounds of what is learned of one process.
const (
	maxOperations = 16
	maxSignatures = 256
)

// A segment is typical when it was seen that often, and is not a row of segments that are each seen at
// least a certain part as often by themselves: the end of a task that nobody waited for is not visible,
// so what looks like one segment may be several.
const (
	minSeen  = 5
	aPartFor = 5
)

// signatures counts the segments that a process makes.
type signatures struct {
	list []signature
	full bool // more than can be told apart: nothing is typical
}

type signature struct {
	ops  operations
	seen uint32
}

func (g *signatures) find(ops operations) *signature {
	for i := range g.list {
		if slices.Equal(g.list[i].ops, ops) {
			return &g.list[i]
		}
	}
	return nil
}

func (g *signatures) add(ops operations) {
	if s := g.find(ops); s != nil {
		if s.seen < 1<<31 {
			s.seen++
		}
		return
	}
	if len(g.list) >= maxSignatures {
		g.full = true
		return
	}
	g.list = append(g.list, signature{ops: slices.Clone(ops), seen: 1})
}

func (g *signatures) typical(ops operations) bool {
	s := g.find(ops)
	return s != nil && s.seen >= minSeen && !g.full && !g.composed(ops, s.seen)
}

// composed: ops can be cut into at least two segments that are seen often.
func (g *signatures) composed(ops operations, seen uint32) bool {
	// reach[n]: the first n operations can be cut.
	var reach [maxOperations + 1]bool
	reach[0] = true
	for n := range ops {
		if !reach[n] {
			continue
		}
		for _, s := range g.list {
			end := n + len(s.ops)
			whole := n == 0 && end == len(ops)
			if end <= len(ops) && !whole && s.seen*aPartFor >= seen && slices.Equal(s.ops, ops[n:end]) {
				reach[end] = true
			}
		}
	}
	return reach[len(ops)]
}
