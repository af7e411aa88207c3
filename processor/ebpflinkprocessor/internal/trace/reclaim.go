package trace

import "github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"

// Reclaim gives what still waits the trace of the children that left before a restart: a span that left with
// a parent had fixed the id of all above it, and only what left was written down. It is called once, when
// all facts are there again.
func (b *Book) Reclaim() {
	for i := range b.ix.Cap() {
		id := link.ID(i)
		e := b.entries.At(id)
		if e.state != released || !e.parented {
			continue
		}
		b.round++
		for p := b.left(id); p != link.None && b.visit(p); p = b.left(p) {
			above := b.entries.At(p)
			if above.state != waiting || above.fate != 0 {
				break
			}
			b.seal(above, fate{trace: b.fateOf(e).trace, decision: b.fateOf(e).decision})
			b.Say(p, b.odds[id])
		}
	}
}

// left is the parent that id, or what is above it, is certain to have left with: who states another may have kept that.
func (b *Book) left(id link.ID) link.ID {
	e := b.ix.Resolve(id)
	if e.Displaces {
		return link.None
	}
	return e.Parent
}
