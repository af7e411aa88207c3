package trace

import "github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"

// maxLoop is how far up from a parent that has left a cycle is looked for. What is longer may be one.
const maxLoop = 1024

// up is the parent that a span left with: one more than its id, or one of these.
type up uint32

const (
	// noParent: nothing was known that it could be a child of. Its parent may come yet.
	noParent up = 0
	// named: that of its own statement, which was not here.
	named = ^up(0)
	// forgotten: it left before a restart.
	forgotten = ^up(1)
	// doubtful: it has none, as several could be, or as a cycle or another trace was in the way. What is
	// known later is less, not more: of the several all but one may be forgotten.
	doubtful = ^up(2)
)

func (u up) parented() bool { return u != noParent && u != doubtful }

// Bond is what a span left with.
type Bond uint8

// Bonds.
const (
	// Doubtful: no parent, and none later.
	Doubtful Bond = iota
	// Alone: no parent, which may come.
	Alone
	// Parented: its parent's id.
	Parented
)

// Bond of m when it leaves.
func (m *Member) Bond() Bond {
	switch u := m.up(); {
	case u.parented():
		return Parented
	case u == noParent:
		return Alone
	default:
		return Doubtful
	}
}

func (m *Member) up() up {
	switch {
	case m.Parent == link.SpanID{} && (m.Cut || m.Conflict || m.Edge.Ambiguous != 0 || m.Edge.Outcome == link.Overrun):
		return doubtful
	case m.Parent == link.SpanID{}:
		return noParent
	case m.Absent:
		return named
	default:
		return up(m.Edge.Parent) + 1
	}
}

// BondOf is the Bond that was written down.
func BondOf(parented, alone bool) Bond {
	switch {
	case parented:
		return Parented
	case alone:
		return Alone
	default:
		return Doubtful
	}
}

func upOf(bond Bond) up {
	return [...]up{Doubtful: doubtful, Alone: noParent, Parented: forgotten}[bond]
}

// tail is what a span id ends in: enough to tell a span from one that has its number now.
type tail [3]byte

func tailOf(s link.SpanID) tail { return tail(s[5:]) }

// parent of one that has left, by what it said then; of one that waits, by what is known now. It is false where that
// is forgotten.
func (b *Book) parent(id link.ID) (p link.ID, known bool) {
	e := b.entries.At(id)
	switch {
	case e.limits&deep != 0:
		return link.None, true
	case e.state != released:
		return b.sought(id).Parent, true
	}
	f := b.fateOf(e)
	switch f.up {
	case forgotten:
		return b.ix.Resolve(id).Parent, true
	case named:
		return b.ix.Named(id), true
	case noParent, doubtful:
		return link.None, true
	default:
		p = link.ID(f.up - 1)
		return p, tailOf(b.ix.View(p).Span) == f.tail
	}
}

// firm: what is above e does not change any more.
func (b *Book) firm(e *entry) bool {
	if e.state != released {
		return false
	}
	up := b.fateOf(e).up
	return up != named && up != forgotten
}

// closes says whether root, which has not left, would close a cycle with that parent. Where all of it waits, top
// has seen to it; but some below root may have left as children of one that came later or, as it was pending, ended.
// Nobody can take back what they said, so root has to give way. It does so, too, where what is above is forgotten, if its
// trace was decided before: then some below it may have left.
func (b *Book) closes(root, parent link.ID, decided bool) bool {
	climbed := b.climbed[:0]
	defer func() { b.climbed = climbed[:0] }()
	firm := true
	for range maxLoop {
		if parent == root {
			return true
		}
		e := b.entries.At(parent)
		if e.limits&grounded != 0 && len(b.loose) == 0 {
			break
		}
		firm = firm && b.firm(e)
		climbed = append(climbed, parent)
		var known bool
		if parent, known = b.parent(parent); !known {
			return decided
		}
		if parent == link.None {
			break
		}
	}
	if len(climbed) == maxLoop {
		return true
	}
	if firm {
		for _, id := range climbed {
			b.entries.At(id).limits |= grounded
		}
	}
	return false
}
