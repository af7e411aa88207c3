package link

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// ID names a fact in an Index until Remove.
type ID uint32

// None is no fact.
const None = ^ID(0)

// Limits that keep hostile input (everything under one key) at bounded cost.
const (
	// maxDefs is how many definitions one key keeps: those with the latest start. A real thread
	// that serves 1000 requests a second defines its key 20,000 times in a window.
	maxDefs = 1 << 16
	// DefaultMaxCandidates is how many definitions one reference looks at, backwards from its start.
	DefaultMaxCandidates = 4096
)

// edgesCached is more than the members of almost any trace, and no more than has room in the nearest cache.
const edgesCached = 1 << 8

// Index holds facts by the keys that they define and refer to. It is not safe for concurrent use.
type Index struct {
	rows           []row
	clockTolerance int64
	// maxCandidates is Limits.Candidates, passed how many of a crowd a search passes that are over, and rations what
	// limits a row.
	maxCandidates int
	passed        int
	rations       [pastQuotas]ration
	// processes: a rule asks for the process of every span. stemmed: one asks for the numbers of its connection.
	processes, stemmed bool
	// stating: there have been SERVER spans of an SDK that name a parent.
	stating bool
	// callers are the rows with a pair.
	callers []uint8
	// allKnown: all raw spans are known by their span ids.
	allKnown bool
	clocks   clocks

	facts Pages[core]
	free  []ID
	// far and rare are what lies beside the facts that say so.
	far  Stock[farther]
	rare map[ID]*Rare
	// crowded has the facts whose ids are of too many spans to look at each.
	crowded Table[ID]
	hosts   hosts
	// exchanges are empty until the first span says something of its own.
	exchanges Pages[spoken]
	owners    owners

	keys       Table[sides]
	defs, refs postings

	// edges caches Resolve for one generation; any change of the facts starts another.
	edges [edgesCached]struct {
		gen  uint64
		id   ID
		edge Edge
	}
	gen uint64

	plans plans

	overflow int
	// looks counts the candidates that searches looked at.
	looks int
}

// New makes an Index with these rules, strongest first, whose limits are the default ones; unknown names are ignored, the
// configuration has checked them.
func New(rules []string, clockTolerance time.Duration) *Index {
	return NewLimited(rules, clockTolerance, Limits{Candidates: DefaultMaxCandidates})
}

// NewLimited is New with limits.
func NewLimited(rules []string, clockTolerance time.Duration, l Limits) *Index {
	x := &Index{
		rows:           order(rules),
		clockTolerance: int64(clockTolerance),
		maxCandidates:  l.Candidates,
		passed:         l.Candidates + chunkSize,
		rations:        l.rations(),
		processes:      slices.Contains(rules, Timing),
		stemmed:        slices.Contains(rules, TCPSeq),
		rare:           map[ID]*Rare{},
		hosts:          hosts{},
		owners:         newOwners(),
		clocks:         newClocks(),
		gen:            1,
	}
	for i := range x.rows {
		r := &x.rows[i]
		if r.pair != nil {
			x.callers = append(x.callers, uint8(i))
		}
		for j := range x.rows {
			if alike := &x.rows[j]; alike.pair == nil && (alike.defines == r.defines || (r.numbered != 0 && alike.numbered == r.numbered)) {
				r.believed = max(r.believed, x.rations[alike.quota].most)
			}
		}
	}
	x.defs, x.refs = newPostings(&x.keys, defining, x.times, maxDefs), newPostings(&x.keys, referring, x.times, 0)
	return x
}

// MaxCandidates is the highest limit: half of the definitions that a key keeps, so that what was forgotten
// there is beyond it.
const MaxCandidates = maxDefs / 2

// order sorts the rows of the chosen rules; a row with an after goes behind that rule.
func order(rules []string) []row {
	at := func(rule string) int { return slices.Index(rules, rule) }
	var out []row
	for _, r := range rows {
		if at(r.rule) >= 0 {
			out = append(out, r)
		}
	}
	pos := func(r row) int {
		p := 2 * at(r.rule)
		for _, rule := range r.after {
			p = max(p, 2*at(rule)+1)
		}
		if with := at(r.with); with >= 0 {
			p = 2 * with
		}
		return p
	}
	slices.SortStableFunc(out, func(a, b row) int { return cmp.Compare(pos(a), pos(b)) })
	return out
}

// Len is the number of facts held.
func (x *Index) Len() int { return x.facts.Len() - len(x.free) }

// Use makes a the place of the facts and keys. It comes before the first Add.
func (x *Index) Use(a *Arena) {
	x.facts.Arena, x.exchanges.Arena, x.keys.Arena, x.crowded.Arena = a, a, a, a
	x.far.Use(a)
}

// Cap is the number of IDs ever given: callers size their own tables by it.
func (x *Index) Cap() int { return x.facts.Len() }

// TakeOverflow returns how many definitions were forgotten because their key had too many, since
// the last call.
func (x *Index) TakeOverflow() int {
	n := x.overflow
	x.overflow = 0
	return n
}

// Add takes in f.
func (x *Index) Add(f Fact) ID { return x.Take(&f, &nothing) }

// AddRare takes in f and what is beside it.
func (x *Index) AddRare(f Fact, r Rare) ID { return x.Take(&f, &r) }

// Take is AddRare without a copy of either; both are the caller's again.
func (x *Index) Take(f *Fact, r *Rare) ID {
	x.heed(f)
	id := x.next()
	x.set(id, f, r)
	x.gen++
	return id
}

// next is an ID for another fact.
func (x *Index) next() ID {
	if n := len(x.free); n > 0 {
		id := x.free[n-1]
		x.free = x.free[:n-1]
		return id
	}
	id := ID(x.facts.Len())
	x.facts.Grow(int(id) + 1)
	return id
}

// Replace puts f and what is beside it in the place of id: a pending span that has ended.
func (x *Index) Replace(id ID, f Fact, r Rare) {
	x.heed(&f)
	x.unpost(id)
	x.set(id, &f, &r)
	x.gen++
}

func (x *Index) set(id ID, f *Fact, r *Rare) {
	x.put(id, f, r)
	if other, several := x.post(id); several {
		x.learnSkew(id)
	} else if other != None {
		x.learnSkewOf(id, other)
	}
}

// Remove forgets ids.
func (x *Index) Remove(ids []ID) {
	if len(ids) == 0 {
		return
	}
	for i, id := range ids {
		if i%AtOnce == 0 {
			x.part(ids[i:min(i+AtOnce, len(ids))])
		}
		x.unpost(id)
		x.drop(id)
		x.free = append(x.free, id)
	}
	x.gen++
}

// post makes id found by its keys. other is the one span at the other end of its exchange, as far as that is known by
// the stem, else None; several says that the stem does not tell.
func (x *Index) post(id ID) (other ID, several bool) {
	f := x.View(id)
	posted, other, divided := x.postStem(id, f.core)
	if !posted || x.known(f.core) {
		x.identify(id)
	}
	var room [mostKeys]Key
	keys, middle := x.keysOf(f, room[:0])
	for _, k := range keys[:middle] {
		dropped, _ := x.defs.add(k, id)
		x.overflow += dropped
	}
	for _, k := range keys[middle:] {
		x.refs.add(k, id)
	}
	return other, !posted || divided
}

func (x *Index) unpost(id ID) {
	f := x.View(id)
	if !x.unpostStem(id, f.core) || x.known(f.core) {
		x.unidentify(id)
	}
	var room [mostKeys]Key
	keys, middle := x.keysOf(f, room[:0])
	for _, k := range keys[:middle] {
		x.defs.remove(k, id)
	}
	for _, k := range keys[middle:] {
		x.refs.remove(k, id)
	}
}

// mostKeys is more than a fact has.
const mostKeys = 16

// keysOf appends the distinct keys that f defines, but for that of what it is and those of its stem, and from middle
// on those that it refers to.
func (x *Index) keysOf(f View, to []Key) (keys []Key, middle uint32) {
	p := x.planOf(f.core)
	from := len(to)
	for _, i := range p.posted {
		if k, ok := x.rows[i].defines.key(x, f); ok && k.domain() != domainSpan && !slices.Contains(to[from:], k) {
			to = append(to, k)
		}
	}
	from = len(to)
	for _, i := range p.refers {
		if k, ok := x.rows[i].refers.key(x, f); ok && !slices.Contains(to[from:], k) {
			to = append(to, k)
		}
	}
	return to, uint32(from)
}

// times is when a fact starts and, for all that is known, ends.
func (x *Index) times(id ID) (start, end int64) { return x.core(id).times() }

func (c *core) times() (start, end int64) {
	if c.Pending {
		return c.Start, math.MaxInt64
	}
	return c.Start, max(c.Start, c.End)
}

// openIn: at some time from since to last.
func (c *core) openIn(since, last int64) bool {
	start, end := c.times()
	return start <= last && end >= since
}

// Request finds the SERVER span of a request of a host, None where there is none, or several.
func (x *Index) Request(host, systrace uint64) ID {
	found := None
	if host == 0 || systrace == 0 {
		return found
	}
	var one [1]ID
	ids, _ := x.defs.get(domainSystrace.key2(host, systrace), &one)
	for _, id := range ids {
		f := x.core(id)
		if !f.Raw || f.Role != Server || f.Host != host || f.Systrace != systrace {
			continue
		}
		if found != None {
			return None
		}
		found = id
	}
	return found
}

// Looks is how many candidates all searches have looked at: what work has cost that a caller bounds.
func (x *Index) Looks() int { return x.looks }

// Referrers calls fn for each fact that refers to a key which id defines, until fn returns false.
// A fact may come more than once. Of a crowd only those come that time does not rule out, and none whose
// reference is refused for the number of definitions.
func (x *Index) Referrers(id ID, fn func(ID) bool) {
	f := x.View(id)
	var room [mostKeys]Key
	seen := room[:0]
	// only has the stem of id, as long as that is not split.
	only, asked, divided := None, false, false
	for _, i := range x.planOf(f.core).defines {
		r := &x.rows[i]
		if x.stemmed && r.numbered != 0 && !divided {
			if !asked {
				only, divided = x.alone(f.core, referring)
				asked = true
			}
			if !divided {
				if only != None && agree(r.numbered, f.core, x.core(only)) {
					if only != id && !fn(only) {
						return
					}
					only = None
				}
				continue
			}
		}
		if r.defines == byName && x.refs.keys[domainSpan] == 0 {
			continue // nearly all spans have a name, and often nobody names any
		}
		k, ok := r.defines.key(x, f)
		if !ok || slices.Contains(seen, k) {
			continue
		}
		seen = append(seen, k)
		if !x.refer(f, id, r, k, fn) {
			return
		}
	}
	if mayLead(f) && x.refs.keys[domainLed] != 0 && !x.led(f, fn) {
		return
	}
	if f.farther.rare && chains(f, Server) && !x.chained(f, fn) {
		return
	}
	switch {
	case !x.stating:
	case !f.Raw:
		x.heard(f, fn)
	case f.Role == Server && !hasContext(f):
		x.sent(id, fn)
	}
}

// refer calls fn for each fact but f itself, which is id, that refers to k by r, until fn returns false.
func (x *Index) refer(f View, id ID, r *row, k Key, fn func(ID) bool) (more bool) {
	visit := func(c ID) bool {
		// What is only near in time is many, and not worth a search each.
		return c == id || (r.paired && x.rate(r, x.View(c), f) == unfit) || fn(c)
	}
	if r.places {
		more = true
		since, last := x.moment(f.core)
		x.inPlace(&x.refs, f, since, last, func(c ID) bool {
			more = visit(c)
			return more
		})
		return more
	}
	var one [1]ID
	ids, crowd := x.ids(&x.refs, k, f.core, &one)
	for _, c := range ids {
		if !visit(c) {
			return false
		}
	}
	if crowd == nil || x.crowdOf(k, f.Span) > r.believed {
		return true
	}
	// The latest first: of a parent that lives long, the others have left.
	first, last := int64(math.MinInt64), int64(math.MaxInt64)
	if !r.stated {
		start, end := x.times(id)
		reach := x.reach(r, start)
		if !r.local {
			// The clock of the child may show another time, of which more is known.
			reach = max(reach, x.clocks.far+int64(SkewTolerance+r.slack))
		}
		first, last = start-reach, min(end, math.MaxInt64-reach)+reach
	}
	more = true
	crowd.backwards(last, first, func(c ID) bool {
		more = visit(c)
		return more
	})
	return more
}
