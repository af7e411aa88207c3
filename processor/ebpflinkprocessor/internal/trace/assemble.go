// Package trace gathers linked spans into traces and gives them their ids.
package trace

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// maxMembers bounds the work of one Gather. The spans beyond it leave in their own time and get
// the same trace id, which is fixed by then.
const maxMembers = 50_000

// Member is one span of a trace that has not left.
type Member struct {
	ID   link.ID
	Edge link.Edge
	// Trace is the id the span leaves with.
	Trace link.TraceID
	// Parent is the span id of its parent, zero for a root.
	Parent link.SpanID
	// Cut: the edge would have closed a cycle and was given up.
	Cut bool
	// Conflict: the span's trace id was fixed before its parent in another trace came.
	Conflict bool
	// Left is when a neighbour left, the earliest known, in the caller's time; 0 when none has.
	Left int64
	// Absent: Parent is what the application said, and no span with that id was seen.
	Absent bool
	depth  int
}

// state of a span in the Book.
type state uint8

const (
	waiting state = iota
	released
)

type entry struct {
	trace link.TraceID
	fixed bool
	state state
	// parented: it left with a parent.
	parented bool
	left     int64
}

// Book remembers what was decided: which trace id each span has and whether it has left. It is not
// safe for concurrent use.
type Book struct {
	ix          *link.Index
	useAppTrace bool
	entries     []entry
	seen        []uint32
	round       uint32
}

// NewBook makes the Book of the facts of ix.
func NewBook(ix *link.Index, useAppTraceID bool) *Book {
	return &Book{ix: ix, useAppTrace: useAppTraceID}
}

// Add starts the entry of a new fact.
func (b *Book) Add(id link.ID) {
	for int(id) >= len(b.entries) {
		b.entries = append(b.entries, entry{})
		b.seen = append(b.seen, 0)
	}
	b.entries[id] = entry{}
}

// Restore marks id as one that left with trace before a restart.
func (b *Book) Restore(id link.ID, trace link.TraceID, parented bool, now int64) {
	b.entries[id] = entry{trace: trace, fixed: true, state: released, parented: parented, left: now}
}

// Trace is the id of the trace of id, false while it is not fixed.
func (b *Book) Trace(id link.ID) (link.TraceID, bool) {
	return b.entries[id].trace, b.entries[id].fixed
}

// Waits says whether id has not left.
func (b *Book) Waits(id link.ID) bool { return b.entries[id].state == waiting }

// Leave records that m left at now, a time of the caller's that is not 0.
func (b *Book) Leave(m *Member, now int64) {
	e := &b.entries[m.ID]
	e.state, e.parented, e.left = released, m.Parent != link.SpanID{}, now
}

func (b *Book) visit(id link.ID) bool {
	if b.seen[id] == b.round {
		return false
	}
	b.seen[id] = b.round
	return true
}

// Gather returns the waiting members of the trace of start, root first, with their ids, and fixes
// the trace id of all of them. It does not let any of them leave.
func (b *Book) Gather(start link.ID) []Member {
	b.round++
	root, cut := b.top(start)
	members := []Member{{ID: root, Edge: b.edge(root, cut), Cut: root == cut}}
	b.round++
	b.visit(root)

	// A released neighbour has fixed the trace id already: the parent of the root first, else
	// the nearest to the root.
	var known link.TraceID
	left := int64(0)
	met := func(e *entry) {
		if left == 0 || e.left < left {
			left = e.left
		}
	}
	if p := members[0].Edge.Parent; p != link.None {
		known = b.entries[p].trace
		met(&b.entries[p])
	}
	knownDepth := -1
	consider := func(t link.TraceID, depth int) {
		if known == (link.TraceID{}) || (knownDepth == depth && bytes.Compare(t[:], known[:]) < 0) {
			known, knownDepth = t, depth
		}
	}
	for i := 0; i < len(members); i++ {
		m := members[i]
		if e := &b.entries[m.ID]; e.fixed {
			consider(e.trace, m.depth)
		}
		b.ix.Referrers(m.ID, func(r link.ID) bool {
			if b.seen[r] == b.round || b.edge(r, cut).Parent != m.ID {
				return true
			}
			b.visit(r)
			if e := &b.entries[r]; e.state == released {
				met(e)
				consider(e.trace, m.depth+1)
				return true
			}
			members = append(members, Member{ID: r, Edge: b.edge(r, cut), Cut: r == cut, depth: m.depth + 1})
			return len(members) < maxMembers
		})
		if len(members) >= maxMembers {
			break
		}
	}
	if len(members) >= maxMembers && b.visit(start) {
		members = append(members, Member{ID: start, Edge: b.edge(start, cut), Cut: start == cut, depth: maxMembers})
	}
	// The order in which referrers were met is that of arrival; this one is not.
	slices.SortFunc(members[1:], func(x, y Member) int { return b.compare(x, y) })

	b.fix(members, known, left)
	return members
}

// compare orders members by depth, start and id.
func (b *Book) compare(x, y Member) int {
	fx, fy := b.ix.Fact(x.ID), b.ix.Fact(y.ID)
	return cmp.Or(cmp.Compare(x.depth, y.depth), cmp.Compare(fx.Start, fy.Start),
		bytes.Compare(fx.Span[:], fy.Span[:]), cmp.Compare(x.ID, y.ID))
}

// edge is the edge of id, none for the one that was cut and for a released span that left with a
// parent, whatever has come since.
func (b *Book) edge(id, cut link.ID) link.Edge {
	e := b.entries[id]
	if e.state == released && e.parented {
		return link.Edge{Parent: link.None}
	}
	edge := b.ix.Resolve(id)
	if id == cut {
		edge.Parent = link.None
	}
	return edge
}

// top follows parents from start to the last span that has not left. Each span has at most one
// parent, so a trace has at most one cycle and the way up from any member meets it; its weakest
// edge is cut.
func (b *Book) top(start link.ID) (root, cut link.ID) {
	root, cut = start, link.None
	b.visit(root)
	for {
		p := b.edge(root, cut).Parent
		if p == link.None || b.entries[p].state == released {
			return root, cut
		}
		if !b.visit(p) {
			cut = b.weakest(p)
			return cut, cut
		}
		root = p
	}
}

// weakest returns the member of the cycle through id whose edge has the least evidence.
func (b *Book) weakest(id link.ID) link.ID {
	worst := id
	for n := b.ix.Resolve(id).Parent; n != id; n = b.ix.Resolve(n).Parent {
		x, y := b.ix.Resolve(n), b.ix.Resolve(worst)
		fx, fy := b.ix.Fact(n), b.ix.Fact(worst)
		if cmp.Or(cmp.Compare(x.Row, y.Row), cmp.Compare(y.Confidence, x.Confidence),
			bytes.Compare(fy.Span[:], fx.Span[:])) > 0 {
			worst = n
		}
	}
	return worst
}

// fix gives the members their ids.
func (b *Book) fix(members []Member, known link.TraceID, left int64) {
	chosen := known
	if chosen == (link.TraceID{}) {
		chosen = b.choose(members)
	}
	for i := range members {
		m := &members[i]
		e, f := &b.entries[m.ID], b.ix.Fact(m.ID)
		if !e.fixed {
			e.trace, e.fixed = chosen, true
		}
		m.Trace, m.Left = e.trace, left
		p := m.Edge.Parent
		switch {
		case p != link.None && b.parentTrace(p, chosen) != m.Trace:
			m.Conflict = true
		case p != link.None:
			m.Parent = b.ix.Fact(p).Span
		case !f.Raw:
			m.Parent, m.Absent = f.CtxParent, f.CtxParent != link.SpanID{}
		case f.CtxParent != link.SpanID{} && f.CtxTrace == m.Trace && !m.Cut && m.Edge.Outcome != link.Ambiguous:
			// The span may have gone to the backend another way; the header is proof that
			// it exists.
			m.Parent, m.Absent = f.CtxParent, true
		}
	}
}

func (b *Book) parentTrace(p link.ID, chosen link.TraceID) link.TraceID {
	if e := &b.entries[p]; e.fixed {
		return e.trace
	}
	return chosen
}

// choose finds the trace id of a new trace: the application's, of the member nearest to the root,
// else one made from the root. SDK spans alone keep theirs in any case.
func (b *Book) choose(members []Member) link.TraceID {
	raw := false
	for i := range members {
		raw = raw || b.ix.Fact(members[i].ID).Raw
	}
	if b.useAppTrace || !raw {
		for i := range members {
			if t := b.ix.Fact(members[i].ID).CtxTrace; t != (link.TraceID{}) {
				return t
			}
		}
	}
	return rootTraceID(b.ix.Fact(members[0].ID))
}
