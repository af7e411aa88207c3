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

// edgesCached is more than the members of almost any trace, whose ids are close to each other.
const edgesCached = 1 << 10

// Index holds facts by the keys that they define and refer to. It is not safe for concurrent use.
type Index struct {
	rows           []row
	clockTolerance int64
	maxCandidates  int
	// processes: a rule asks for the process of every span.
	processes bool
	clocks    clocks

	facts Pages[Fact]
	free  []ID
	// rare is what lies beside the facts that say so.
	rare map[ID]*Rare
	// exchanges are empty until the first span says something of its own.
	exchanges Pages[Exchange]

	keys       Table[sides]
	defs, refs postings

	// edges caches Resolve for one generation; any change of the facts starts another.
	edges [edgesCached]struct {
		gen  uint64
		id   ID
		edge Edge
	}
	gen uint64

	overflow int
	// looks counts the candidates that searches looked at.
	looks int
}

// New makes an Index with these rules, strongest first; unknown names are ignored, the
// configuration has checked them.
func New(rules []string, clockTolerance time.Duration) *Index {
	x := &Index{
		rows:           order(rules),
		clockTolerance: int64(clockTolerance),
		maxCandidates:  DefaultMaxCandidates,
		processes:      slices.Contains(rules, Timing),
		rare:           map[ID]*Rare{},
		clocks:         newClocks(),
		gen:            1,
	}
	x.defs, x.refs = newPostings(&x.keys, defining, x.times, maxDefs), newPostings(&x.keys, referring, x.times, 0)
	return x
}

// MaxCandidates is the highest limit: half of the definitions that a key keeps, so that what was forgotten
// there is beyond it.
const MaxCandidates = maxDefs / 2

// LimitCandidates sets how many definitions one reference looks at, 1 to MaxCandidates.
func (x *Index) LimitCandidates(n int) { x.maxCandidates = n }

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
		if r.after != "" {
			if a := 2*at(r.after) + 1; a > p {
				p = a
			}
		}
		return p
	}
	slices.SortStableFunc(out, func(a, b row) int { return cmp.Compare(pos(a), pos(b)) })
	return out
}

// Len is the number of facts held.
func (x *Index) Len() int { return x.facts.Len() - len(x.free) }

// Use makes a the place of the facts and keys. It comes before the first Add.
func (x *Index) Use(a *Arena) { x.facts.Arena, x.keys.Arena, x.exchanges.Arena = a, a, a }

// Cap is the number of IDs ever given: callers size their own tables by it.
func (x *Index) Cap() int { return x.facts.Len() }

// Fact returns the fact id; it must not be changed through the pointer.
func (x *Index) Fact(id ID) *Fact { return x.facts.At(id) }

// TakeOverflow returns how many definitions were forgotten because their key had too many, since
// the last call.
func (x *Index) TakeOverflow() int {
	n := x.overflow
	x.overflow = 0
	return n
}

// Add takes in f.
func (x *Index) Add(f Fact) ID { return x.AddRare(f, Rare{}) }

// AddRare takes in f and what is beside it.
func (x *Index) AddRare(f Fact, r Rare) ID {
	var id ID
	if n := len(x.free); n > 0 {
		id = x.free[n-1]
		x.free = x.free[:n-1]
	} else {
		id = ID(x.facts.Len())
		x.facts.Grow(int(id) + 1)
	}
	x.put(id, f, r)
	x.post(id)
	x.gen++
	return id
}

// Replace puts f and what is beside it in the place of id: a pending span that has ended.
func (x *Index) Replace(id ID, f Fact, r Rare) {
	x.unpost(id)
	x.put(id, f, r)
	x.post(id)
	x.gen++
}

func (x *Index) put(id ID, f Fact, r Rare) {
	if f.rare = !r.Empty() || (x.processes && r.Process != 0); f.rare {
		kept := r
		kept.Exchange = none
		x.rare[id] = &kept
	} else {
		delete(x.rare, id)
	}
	x.say(id, r.Exchange)
	*x.Fact(id) = f
}

// Remove forgets ids.
func (x *Index) Remove(ids []ID) {
	if len(ids) == 0 {
		return
	}
	for _, id := range ids {
		x.unpost(id)
		x.put(id, Fact{}, Rare{})
		x.free = append(x.free, id)
	}
	x.gen++
}

func (x *Index) post(id ID) {
	x.postKeys(id)
	x.learnSkew(id)
}

func (x *Index) postKeys(id ID) {
	f := x.view(id)
	x.eachKey(f, true, func(k Key, _ *row) {
		x.overflow += x.defs.add(k, id)
	})
	x.eachKey(f, false, func(k Key, _ *row) { x.refs.add(k, id) })
}

func (x *Index) unpost(id ID) {
	f := x.view(id)
	x.eachKey(f, true, func(k Key, _ *row) { x.defs.remove(k, id) })
	x.eachKey(f, false, func(k Key, _ *row) { x.refs.remove(k, id) })
}

// times is when a fact starts and, for all that is known, ends.
func (x *Index) times(id ID) (start, end int64) {
	f := x.Fact(id)
	if f.Pending {
		return f.Start, math.MaxInt64
	}
	return f.Start, max(f.Start, f.End)
}

// eachKey calls fn for each distinct key that f defines, or refers to, and its first row.
func (x *Index) eachKey(f view, defines bool, fn func(Key, *row)) {
	var seen [16]Key
	n := 0
	for i := range x.rows {
		if x.rows[i].rare && !f.rare {
			continue
		}
		get := x.rows[i].refers
		if defines {
			get = x.rows[i].defines
		}
		k, ok := get(f)
		if !ok || slices.Contains(seen[:n], k) {
			continue
		}
		if n < len(seen) {
			seen[n] = k
			n++
		}
		fn(k, &x.rows[i])
	}
}

// Request finds the SERVER span of a request of a host, None where there is none, or several.
func (x *Index) Request(host, systrace uint64) ID {
	found := None
	if host == 0 || systrace == 0 {
		return found
	}
	var one [1]ID
	ids, _ := x.defs.get(domainSystrace.key(host, systrace, 0), &one)
	for _, id := range ids {
		f := x.Fact(id)
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
// reference is refused for the number of definitions (rows that share a key agree on that number).
func (x *Index) Referrers(id ID, fn func(ID) bool) {
	more := true
	var by *row
	visit := func(r ID) bool {
		// What is only near in time is many, and not worth a search each.
		more = r == id || (by != nil && by.paired && by.fits(x, x.view(r), x.view(id)) == unfit) || fn(r)
		return more
	}
	x.eachKey(x.view(id), true, func(k Key, r *row) {
		if !more {
			return
		}
		by = r
		var one [1]ID
		ids, crowd := x.refs.get(k, &one)
		for _, r := range ids {
			if !visit(r) {
				return
			}
		}
		if crowd == nil || (r.most > 0 && x.defs.size(k) > r.most) {
			return
		}
		// The latest first: of a parent that lives long, the others have left.
		first, last := int64(math.MinInt64), int64(math.MaxInt64)
		if !r.stated {
			start, end := x.times(id)
			reach := x.reach(r)
			first, last = start-reach, min(end, math.MaxInt64-reach)+reach
		}
		crowd.backwards(last, first, visit)
	})
	by = nil
	if f := x.view(id); more && mayLead(f) {
		x.led(f, visit)
	}
	if f := x.view(id); more && f.rare && chains(f, Server) {
		x.chained(f, visit)
	}
}
