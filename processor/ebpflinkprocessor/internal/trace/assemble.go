// Package trace gathers linked spans into traces and gives them their ids.
package trace

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/sampling"
)

// maxMembers bounds the work of one Gather. The spans beyond it leave in their own time and get
// the same trace id, which is fixed by then.
const maxMembers = 50_000

// mostKept is how much room one Gather leaves to the next.
const mostKept = 4096

// These keep the cost of a span the same however many share its keys. The spans that one Gather does not
// meet for them leave like those beyond maxMembers: the trace is marked as too large to leave together.
const (
	// maxBarren is how many candidates are looked at for spans that turn out to be of another trace,
	// plus barrenPerMember for each that is of this one.
	maxBarren       = 256
	barrenPerMember = 16
	// maxGone is how many spans of the trace are met that have left: calls of a request that lasts.
	maxGone = 1 << 16
	// maxClimb is how far up the root is looked for. A chain that is longer is cut there: it may be a cycle.
	maxClimb = 4096
)

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
	// Inherited: what said so is another span of the same call.
	Inherited bool
	// Fixed: this Gather fixed its trace id.
	Fixed bool
	// Decision says whether the span is exported, Odds what its tracestate is to say.
	Decision sampling.Decision
	Odds     sampling.Odds
	depth    int
}

// state of a span in the Book.
type state uint8

const (
	waiting state = iota
	released
)

type entry struct {
	// seen is the round that met it last.
	seen uint32
	// fate is the number of what was decided, 0 before.
	fate  uint32
	state state
	// parented: it left with a parent.
	parented bool
	// limits are large, deep and grounded.
	limits uint8
}

// fate is what is decided about a span, once it is. What waits has none and takes no room for it.
type fate struct {
	trace link.TraceID
	left  int64
	// up is with which parent it left, whose span id ends in tail: when that is forgotten, another span may get its number.
	up   up
	tail tail
	// decision holds for the whole trace.
	decision sampling.Decision
}

const (
	// large: a Gather has not met all of its trace. It bounds later ones as if it had left.
	large = 1 << iota
	// deep: it has too many ancestors, or they go round, so it has no parent.
	deep
	// grounded: it has left, as have all above it, and what they left with leads to a root: no cycle goes through it.
	grounded
)

// Book remembers what was decided: which trace id each span has and whether it has left. It is not
// safe for concurrent use.
type Book struct {
	ix      *link.Index
	opts    Options
	entries link.Pages[entry]
	fates   link.Stock[fate]
	// odds are those of the span until its trace is fixed, then those of the trace. Few spans have any.
	odds map[link.ID]sampling.Odds
	// decided counts decisions by kind until TakeDecided.
	decided [4]int
	// proof is room for Whole.
	proof []link.ID
	// members is room for Gather, climbed for closesLate.
	members []Member
	climbed []link.ID
	// met is room for Ahead.
	met []link.Step
	// strays are what the last Gather found of Adopt's, by parent; steps is what Adopt may still look at.
	strays []stray
	steps  int
	// loose are the children that were adopted where a parent further up may turn out to be another: while there
	// are any, no span is known to be grounded.
	loose map[link.ID]struct{}
	round uint32
}

// Options of a Book.
type Options struct {
	// UseAppTraceID gives the whole trace the id that the application propagated.
	UseAppTraceID bool
	// UseAppSampled drops a trace that the application's own sampler had decided against.
	UseAppSampled bool
	// Sampler decides about all others.
	Sampler sampling.Sampler
}

// NewBook makes the Book of the facts of ix.
func NewBook(ix *link.Index, o Options) *Book {
	return &Book{ix: ix, opts: o, odds: map[link.ID]sampling.Odds{}, loose: map[link.ID]struct{}{}}
}

// Use makes a the place of the entries. It comes before the first Add.
func (b *Book) Use(a *link.Arena) {
	b.entries.Arena = a
	b.fates.Use(a)
}

// Add starts the entry of a new fact.
func (b *Book) Add(id link.ID) {
	b.entries.Grow(int(id) + 1)
	b.forget(b.entries.At(id))
	if len(b.odds) > 0 {
		delete(b.odds, id)
	}
}

// Say records what the tracestate of id says.
func (b *Book) Say(id link.ID, o sampling.Odds) {
	if o != (sampling.Odds{}) {
		b.odds[id] = o
	}
}

// Forget drops what is known of ids.
func (b *Book) Forget(ids []link.ID) {
	for i, id := range ids {
		if next := i + link.AtOnce; next < len(ids) {
			b.entries.Ahead(ids[next])
		}
		b.forget(b.entries.At(id))
		if len(b.odds) > 0 {
			delete(b.odds, id)
		}
		if len(b.loose) > 0 {
			delete(b.loose, id)
		}
	}
}

func (b *Book) forget(e *entry) {
	b.fates.Give(e.fate)
	*e = entry{}
}

// seal decides about e, for good.
func (b *Book) seal(e *entry, f fate) {
	if e.fate == 0 {
		e.fate = b.fates.Take()
	}
	*b.fateOf(e) = f
}

// fateOf is what was decided about e.
func (b *Book) fateOf(e *entry) *fate { return b.fates.Of(e.fate) }

// TakeDecided returns how many traces were decided each way since the last call.
func (b *Book) TakeDecided() (by [4]int) {
	by, b.decided = b.decided, by
	return by
}

// Restore marks id as one that left with trace before a restart.
func (b *Book) Restore(id link.ID, trace link.TraceID, bond Bond, d sampling.Decision, now int64) {
	if d == sampling.Undecided { // written by a version that sampled nothing
		d = sampling.Kept
	}
	e := b.entries.At(id)
	e.state, e.parented = released, bond == Parented
	b.seal(e, fate{trace: trace, left: now, up: upOf(bond), decision: d})
}

// Fix gives id, which waits, what was decided about it before a restart.
func (b *Book) Fix(id link.ID, trace link.TraceID, d sampling.Decision, o sampling.Odds) {
	e := b.entries.At(id)
	if e.fate != 0 {
		return
	}
	b.seal(e, fate{trace: trace, decision: d})
	delete(b.odds, id)
	b.Say(id, o)
}

// Trace is the id of the trace of id, false while it is not fixed.
func (b *Book) Trace(id link.ID) (link.TraceID, bool) {
	e := b.entries.At(id)
	if e.fate == 0 {
		return link.TraceID{}, false
	}
	return b.fateOf(e).trace, true
}

// Waits says whether id has not left.
func (b *Book) Waits(id link.ID) bool { return b.entries.At(id).state == waiting }

// Leave records that m left at now, a time of the caller's that is not 0.
func (b *Book) Leave(m *Member, now int64) {
	e := b.entries.At(m.ID)
	f := b.fateOf(e)
	f.left, f.up, f.tail = now, m.up(), tailOf(m.Parent)
	e.state, e.parented = released, f.up.parented()
}

func (b *Book) visit(id link.ID) bool {
	e := b.entries.At(id)
	if e.seen == b.round {
		return false
	}
	e.seen = b.round
	return true
}

// Gather returns the waiting members of the trace of start, root first, with their ids, and fixes
// the trace id of all of them. It does not let any of them leave. The slice is the caller's until the next Gather.
func (b *Book) Gather(start link.ID) []Member {
	b.round++
	b.strays, b.steps = b.strays[:0], maxAdoptSteps
	root, cut, tooDeep := b.top(start)
	members := append(b.members[:0], Member{ID: root, Edge: b.edge(root, cut), Cut: b.gaveUp(root, cut)})
	b.round++
	b.visit(root)

	// A released neighbour has fixed the trace id already: the parent of the root first, else
	// the nearest to the root.
	known := link.None
	left := int64(0)
	met := func(e *entry) {
		if at := b.fateOf(e).left; left == 0 || at < left {
			left = at
		}
	}
	if p := members[0].Edge.Parent; p != link.None {
		known = p
		if e := b.entries.At(p); e.state == released {
			met(e)
			if b.closes(root, p, b.entries.At(root).fate != 0) {
				// It keeps the trace, and gives up the parent.
				cut = root
				members[0].Edge.Parent, members[0].Cut = link.None, true
			}
		}
	}
	knownDepth := -1
	consider := func(id link.ID, depth int) {
		if known == link.None || (knownDepth == depth &&
			b.before(id, known)) {
			known, knownDepth = id, depth
		}
	}
	barren, gone := 0, 0
	more := func() bool {
		// One place is for start.
		return len(members) < maxMembers-1 && gone < maxGone && barren < maxBarren+barrenPerMember*len(members)
	}
	for i := 0; i < len(members) && more(); i++ {
		id, depth := members[i].ID, members[i].depth
		if b.entries.At(id).fate != 0 {
			consider(id, depth)
		}
		b.ix.Referrers(id, func(r link.ID) bool {
			e := b.entries.At(r)
			if e.seen == b.round {
				barren++
				return more()
			}
			looks := b.ix.Looks()
			if b.parentOf(r, cut) != id {
				barren += 1 + b.ix.Looks() - looks
				return more()
			}
			e.seen = b.round
			if e.state == released {
				met(e)
				consider(r, depth+1)
				b.strayed(r, e, id)
				gone++
				return more()
			}
			members = append(members, Member{})
			m := &members[len(members)-1]
			m.ID, m.Edge, m.depth = r, b.sought(r), depth+1
			return more()
		})
	}
	if b.visit(start) {
		members = append(members, Member{ID: start, Edge: b.edge(start, cut), Cut: b.gaveUp(start, cut), depth: maxMembers})
	}
	if tooDeep || !more() {
		for i := range members {
			b.entries.At(members[i].ID).limits |= large
		}
	}
	// The order in which referrers were met is that of arrival; this one is not.
	b.sort(members[1:])

	if len(b.strays) > 1 {
		slices.SortFunc(b.strays, func(x, y stray) int {
			return cmp.Or(cmp.Compare(x.parent, y.parent), b.earlier(x.child, y.child))
		})
	}

	b.fix(members, known, left)
	b.members = members
	if cap(members) > mostKept {
		b.members = nil
	}
	if cap(b.strays) > mostKept {
		b.strays = slices.Clone(b.strays)
	}
	return members
}

// before orders two spans that have a trace by its id.
func (b *Book) before(x, y link.ID) bool {
	tx, _ := b.Trace(x)
	ty, _ := b.Trace(y)
	return bytes.Compare(tx[:], ty[:]) < 0
}

// sort orders members, which is how most come.
func (b *Book) sort(members []Member) {
	for i := 1; i < len(members); i++ {
		if b.compare(&members[i-1], &members[i]) > 0 {
			slices.SortFunc(members, func(x, y Member) int { return b.compare(&x, &y) })
			return
		}
	}
}

// compare orders members by depth, start and id.
func (b *Book) compare(x, y *Member) int {
	if x.depth != y.depth {
		return cmp.Compare(x.depth, y.depth)
	}
	return b.earlier(x.ID, y.ID)
}

// earlier orders spans by start and id.
func (b *Book) earlier(x, y link.ID) int {
	fx, fy := b.ix.View(x), b.ix.View(y)
	return cmp.Or(cmp.Compare(fx.Start, fy.Start), bytes.Compare(fx.Span[:], fy.Span[:]), cmp.Compare(x, y))
}

// edge is the edge of id, none for the one that was cut and for a released span that left with a
// parent, whatever has come since.
func (b *Book) edge(id, cut link.ID) link.Edge {
	e := b.entries.At(id)
	if e.state == released && e.parented {
		return link.Edge{Parent: link.None}
	}
	edge := b.sought(id)
	if b.gaveUp(id, cut) {
		edge.Parent = link.None
	}
	return edge
}

// parentOf is the parent of edge.
func (b *Book) parentOf(id, cut link.ID) link.ID {
	e := b.entries.At(id)
	if id == cut || e.limits&deep != 0 || (e.state == released && e.parented) {
		return link.None
	}
	if edge := b.ix.Resolved(id); !edge.Displaces {
		return edge.Parent
	}
	return b.sought(id).Parent
}

// sought is the edge of id, which waits. An SDK span keeps the parent that it states where what it would give way to
// is of another trace already: its own trace would be cut in two.
func (b *Book) sought(id link.ID) link.Edge {
	edge := b.ix.Resolve(id)
	if edge.Displaces && b.parted(id, edge.Parent) {
		return b.ix.Stated(id)
	}
	return edge
}

// parted: the trace of p is fixed, and not the one that id is of by its own word.
func (b *Book) parted(id, p link.ID) bool {
	of, fixed := b.Trace(p)
	if !fixed {
		return false
	}
	own, fixed := b.Trace(id)
	if named := b.ix.Named(id); !fixed && named != link.None {
		own, fixed = b.Trace(named)
	}
	if !fixed {
		own = b.ix.View(id).CtxTrace
	}
	return of != own
}

// gaveUp: the edge of id is not used.
func (b *Book) gaveUp(id, cut link.ID) bool { return id == cut || b.entries.At(id).limits&deep != 0 }

// top follows parents from start to the last span that has not left. Each span has at most one
// parent, so a trace has at most one cycle and the way up from any member meets it; its weakest
// edge is cut. Where it is too far up, the last edge is.
func (b *Book) top(start link.ID) (root, cut link.ID, tooDeep bool) {
	root = start
	b.visit(root)
	for range maxClimb {
		p := b.parentOf(root, link.None)
		if p == link.None || b.entries.At(p).state == released || b.entries.At(p).limits&large != 0 {
			return root, link.None, false
		}
		if !b.visit(p) {
			cut = b.weakest(p)
			return cut, cut, false
		}
		root = p
	}
	b.entries.At(root).limits |= deep
	return root, root, true
}

// weakest returns the member of the cycle through id whose edge has the least evidence.
func (b *Book) weakest(id link.ID) link.ID {
	worst := id
	for n := b.sought(id).Parent; n != id; n = b.sought(n).Parent {
		x, y := b.sought(n), b.sought(worst)
		fx, fy := b.ix.View(n), b.ix.View(worst)
		if cmp.Or(cmp.Compare(x.Row, y.Row), cmp.Compare(y.Confidence, x.Confidence),
			bytes.Compare(fy.Span[:], fx.Span[:])) > 0 {
			worst = n
		}
	}
	return worst
}

// fix gives the members their ids and the decision: those of known, a neighbour for which they are fixed.
func (b *Book) fix(members []Member, known link.ID, left int64) {
	var v verdict
	if known != link.None {
		if e := b.entries.At(known); e.fate != 0 {
			f := b.fateOf(e)
			v = verdict{f.trace, f.decision, b.odds[known]}
		}
	} else {
		v = b.judge(members)
		b.decided[v.decision]++
	}
	for i := range members {
		m := &members[i]
		e, f := b.entries.At(m.ID), b.ix.View(m.ID)
		if e.fate == 0 {
			b.seal(e, fate{trace: v.trace, decision: v.decision})
			m.Fixed = true
			if len(b.odds) > 0 {
				delete(b.odds, m.ID)
			}
			b.Say(m.ID, v.odds)
		}
		decided := b.fateOf(e)
		m.Trace, m.Left, m.Decision = decided.trace, left, decided.decision
		if len(b.odds) > 0 {
			m.Odds = b.odds[m.ID]
		}
		p := m.Edge.Parent
		if m.Edge.Displaces && !m.Cut && b.parentTrace(p, v.trace) != m.Trace {
			m.Edge = b.ix.Stated(m.ID)
			p = m.Edge.Parent
		}
		switch {
		case p != link.None && b.parentTrace(p, v.trace) != m.Trace:
			m.Conflict = true
		case p != link.None:
			m.Parent = b.ix.View(p).Span
		case !f.Raw:
			m.Parent, m.Absent = f.CtxParent, f.CtxParent != link.SpanID{}
		case f.CtxParent != link.SpanID{} && f.CtxParent != f.Span && f.CtxTrace == m.Trace && !m.Cut && m.Edge.Outcome != link.Ambiguous:
			// The span may have gone to the backend another way; the header is proof that
			// it exists.
			if p := b.ix.Named(m.ID); p != link.None && b.closes(m.ID, p, !m.Fixed) {
				m.Cut = true
				continue
			}
			m.Parent, m.Absent = f.CtxParent, true
		case !m.Cut:
			b.inherit(m)
		}
	}
}

// inherit gives m, a request whose header was not seen, the parent that its SDK's span states, and that is not here.
func (b *Book) inherit(m *Member) {
	t, parent, ok := b.ix.Inherited(m.ID)
	if !ok || t != m.Trace || b.ix.Named(m.ID) != link.None {
		return
	}
	m.Parent, m.Absent, m.Inherited = parent, true, true
	m.Edge.Rule, m.Edge.Confidence, m.Edge.Candidates = link.SDKSameCall, link.SameCallConfidence, 1
}

func (b *Book) parentTrace(p link.ID, chosen link.TraceID) link.TraceID {
	if t, fixed := b.Trace(p); fixed {
		return t
	}
	return chosen
}

// verdict is what all spans of a trace have in common.
type verdict struct {
	trace    link.TraceID
	decision sampling.Decision
	odds     sampling.Odds
}

// judge decides about a new trace. Its id is the application's, of the member nearest to the root, else one
// made from the root. SDK spans alone keep theirs in any case.
func (b *Book) judge(members []Member) verdict {
	raw := false
	// said is the member whose word on id and sampling counts.
	var said link.View
	found := false
	for i := range members {
		f := b.ix.View(members[i].ID)
		raw = raw || f.Raw
		if !found && f.CtxTrace != (link.TraceID{}) {
			said, found = f, true
		}
	}
	v := verdict{}
	if found && (b.opts.UseAppTraceID || !raw) {
		v.trace = said.CtxTrace
	} else {
		v.trace = b.rootTraceID(members[0].ID)
	}
	if len(b.odds) > 0 {
		for i := range members {
			// The randomness of another trace id says nothing of this one.
			if id := members[i].ID; b.ix.View(id).Owns(v.trace) {
				v.odds = v.odds.Or(b.odds[id])
			}
		}
	}
	if found && said.NotSampled && b.opts.UseAppSampled {
		v.decision = sampling.DroppedByApp
	} else {
		v.decision = b.opts.Sampler.Decide(v.trace, v.odds)
	}
	return v
}
