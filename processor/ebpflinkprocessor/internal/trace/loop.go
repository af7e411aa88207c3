package trace

import "github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"

// maxLoop is how far up from a parent that has left a cycle is looked for. What is longer may be one.
const maxLoop = 1024

// up is the parent that a span left with: one more than its id, or one of these.
type up uint32

const (
	noParent up = 0
	// named: that of its own statement, which was not here.
	named = ^up(0)
	// forgotten: it left before a restart.
	forgotten = ^up(1)
)

func (m *Member) up() up {
	switch {
	case m.Parent == link.SpanID{}:
		return noParent
	case m.Absent:
		return named
	default:
		return up(m.Edge.Parent) + 1
	}
}

func upOf(parented bool) up {
	if parented {
		return forgotten
	}
	return noParent
}

// parent of one that has left, by what it said then; of one that waits, by what is known now.
func (b *Book) parent(id link.ID) link.ID {
	e := b.entries.At(id)
	switch {
	case e.limits&deep != 0:
		return link.None
	case e.state != released:
		return b.ix.Resolve(id).Parent
	}
	switch up := b.fateOf(e).up; up {
	case forgotten:
		return b.ix.Resolve(id).Parent
	case named:
		return b.ix.Named(id)
	case noParent:
		return link.None
	default:
		return link.ID(up - 1)
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
// Nobody can take back what they said, so root has to give way.
func (b *Book) closes(root, parent link.ID) bool {
	climbed := b.climbed[:0]
	defer func() { b.climbed = climbed[:0] }()
	firm := true
	for range maxLoop {
		if parent == root {
			return true
		}
		e := b.entries.At(parent)
		if e.limits&grounded != 0 {
			break
		}
		firm = firm && b.firm(e)
		climbed = append(climbed, parent)
		if parent = b.parent(parent); parent == link.None {
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
