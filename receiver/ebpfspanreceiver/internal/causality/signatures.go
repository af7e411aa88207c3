package causality

import "slices"

// operations names the calls of a segment, in order.
type operations []uint64

// Bounds of what is learned of one process.
const (
	maxOperations = 16
	maxSignatures = 256
)

// A segment is typical when it was seen that often, and no end of it is seen at least a certain part as often
// by itself: the end of a task that nobody waited for is not visible, so what looks like one segment may be
// several.
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

// composed: the end of ops is seen often by itself. What is before it may be any work that nobody waits for,
// also of a kind that never makes a segment alone.
func (g *signatures) composed(ops operations, seen uint32) bool {
	for _, s := range g.list {
		n := len(ops) - len(s.ops)
		if n > 0 && s.seen*aPartFor >= seen && slices.Equal(s.ops, ops[n:]) {
			return true
		}
	}
	return false
}
