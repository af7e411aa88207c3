package link

import (
	"cmp"
	"slices"
	"time"
)

// What skew is estimated from. A call encloses the request that it makes: the server reads after the
// client has written and the client reads after the server has written. So each pair that the
// sequence numbers prove bounds the difference of the two clocks from both sides, the way NTP does,
// by no more than the time on the wire. All numbers here say how much that is trusted.
const (
	// skewSlice is the time for which a difference counts as constant. ntpd and chronyd slew by
	// at most 500 ppm: 10 ms in the two slices of time between the far ends of three.
	skewSlice = 10 * time.Second
	// SkewTolerance is added to an estimate on both sides.
	SkewTolerance = 10 * time.Millisecond
	// skewReading absorbs what delays the reading of a clock after the event that it is for.
	skewReading = time.Millisecond
	// skewAgree pairs must agree before an estimate stands by itself.
	skewAgree = 3
	// skewVague is how wide an estimate may be: one that allows everything says nothing.
	skewVague = 200 * time.Millisecond
	// skewMax is the largest difference believed. Beyond it the same numbers are more likely to
	// come from a producer that counts each connection from one.
	skewMax = time.Hour
	// skewSamples is how many pairs of one slice speak for two hosts, of twice as many kept: those
	// withdrawn leave room (see bucket).
	skewSamples = 16
	// skewClaims is how many spans with the same numbers are looked at; more never come from TCP.
	skewClaims = 4
	// skewBuckets bounds the memory: 8192 are at most 7 MiB.
	skewBuckets = 8192
)

// hostPair names two hosts, the smaller first; offsets are second minus first.
type hostPair struct{ a, b uint64 }

func pairOf(x, y uint64) (p hostPair, swapped bool) {
	if x > y {
		return hostPair{y, x}, true
	}
	return hostPair{x, y}, false
}

// bounds of an offset in nanoseconds, both included.
type bounds struct{ lo, hi int64 }

func (b bounds) negated() bounds         { return bounds{-b.hi, -b.lo} }
func (b bounds) plus(c bounds) bounds    { return bounds{b.lo + c.lo, b.hi + c.hi} }
func (b bounds) meets(c bounds) bool     { return b.lo <= c.hi && c.lo <= b.hi }
func (b bounds) width() int64            { return b.hi - b.lo }
func (b bounds) vague() bool             { return b.width() > int64(skewVague) }
func (b bounds) furthest() int64         { return max(-b.lo, b.hi) }
func (b bounds) widened(by int64) bounds { return bounds{b.lo - by, b.hi + by} }

// sample is what one pair says. void: another span claims the same numbers, so it says nothing.
type sample struct {
	key  Key
	off  bounds
	void bool
}

type bucketKey struct {
	hosts hostPair
	slice int64
}

// bucket holds the samples with the smallest keys. A key is a hash, so that is a fair choice which
// any order of arrival makes alike. A sample that is withdrawn keeps its place, void: as long as no
// more than skewSamples are, the others are the same in any order too.
type bucket struct {
	samples []sample
	version uint32
}

func (b *bucket) at(k Key) (int, bool) {
	return slices.BinarySearchFunc(b.samples, k, func(s sample, k Key) int { return cmp.Compare(s.key, k) })
}

// speaking is how many samples are not void.
func (b *bucket) speaking() (n int) {
	for i := range b.samples {
		if !b.samples[i].void {
			n++
		}
	}
	return n
}

// clocks knows the offsets of pairs of hosts. Its state is a function of the facts added, whatever
// their order, and it forgets by the time in the facts, not by the clock on the wall.
type clocks struct {
	buckets map[bucketKey]*bucket
	// version counts changes of any sample.
	version uint32
	cache   map[bucketKey]*estimate
	// fleet holds what the pairs of one slice say together.
	fleet map[int64]*fleet
	// met are buckets that were learned from not long ago: most exchanges are of few pairs of hosts.
	met [16]struct {
		key bucketKey
		*bucket
	}
	// far is at least how far any two hosts are apart of which that is known at any time: what exchanges have allowed whose
	// hosts could have an estimate, and what any search has used.
	far int64
	// forgotten counts buckets that fell out at the limit.
	forgotten int
}

func newClocks() clocks {
	return clocks{buckets: map[bucketKey]*bucket{}, cache: map[bucketKey]*estimate{}, fleet: map[int64]*fleet{}}
}

func sliceOf(t int64) int64 {
	e := t / int64(skewSlice)
	if t < 0 {
		e--
	}
	return e
}

// bound is what the pair says, false when it contradicts itself: the server took longer than the
// call or one has not ended.
func bound(client, server *core) (hostPair, bounds, bool) {
	if client.Pending || server.Pending || client.Host == 0 || server.Host == 0 || client.Host == server.Host {
		return hostPair{}, bounds{}, false
	}
	off := bounds{server.End - client.End, server.Start - client.Start}.widened(int64(skewReading))
	if off.lo > off.hi || off.lo < -int64(skewMax) || off.hi > int64(skewMax) {
		return hostPair{}, bounds{}, false
	}
	p, swapped := pairOf(client.Host, server.Host)
	if swapped {
		off = off.negated()
	}
	return p, off, true
}

// learn takes in what a pair says, or that it says nothing any more.
func (c *clocks) learn(k Key, client, server *core, void bool) {
	hosts, off, ok := bound(client, server)
	if !ok {
		return
	}
	bk := bucketKey{hosts, sliceOf(server.Start)}
	b := c.bucket(bk)
	if n := len(b.samples); n == 2*skewSamples && k > b.samples[n-1].key {
		return
	}
	i, met := b.at(k)
	switch {
	case met && b.samples[i].void == void:
		return
	case met:
		b.samples[i].void = void
	default:
		b.samples = slices.Insert(b.samples, i, sample{k, off, void})
		b.samples = b.samples[:min(len(b.samples), 2*skewSamples)]
	}
	if b.speaking() > skewAgree {
		c.far = max(c.far, off.furthest()) // the others were measured when there were fewer
	} else {
		c.measure(bk)
	}
	b.version++
	c.version++
}

// measure takes into far what the samples around bk say, where they are enough for an estimate: those of its slice and of
// the two beside it.
func (c *clocks) measure(bk bucketKey) {
	var near [5]*bucket
	var n [5]int
	for i := range near {
		if b := c.buckets[bucketKey{bk.hosts, bk.slice - 2 + int64(i)}]; b != nil {
			near[i], n[i] = b, b.speaking()
		}
	}
	for i := range 3 {
		if n[i]+n[i+1]+n[i+2] < skewAgree {
			continue
		}
		for _, b := range near[i : i+3] {
			if b == nil {
				continue
			}
			for _, s := range b.samples {
				c.far = max(c.far, s.off.furthest())
			}
		}
	}
}

// bucket is that of bk, which exists from now on.
func (c *clocks) bucket(bk bucketKey) *bucket {
	// Hosts are hashes.
	at := &c.met[(bk.hosts.a+3*bk.hosts.b+uint64(bk.slice))%uint64(len(c.met))]
	if at.bucket != nil && at.key == bk {
		return at.bucket
	}
	b := c.buckets[bk]
	if b == nil {
		b = &bucket{}
		c.buckets[bk] = b
		// It may be one that goes.
		c.shrink()
		return b
	}
	at.key, at.bucket = bk, b
	return b
}

// shrink forgets an eighth of the buckets once there are too many, the oldest first, of one slice
// those with the largest hosts: which ones are left depends on nothing but the set.
func (c *clocks) shrink() {
	if len(c.buckets) <= skewBuckets {
		return
	}
	keys := make([]bucketKey, 0, len(c.buckets))
	for k := range c.buckets {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y bucketKey) int {
		return cmp.Or(cmp.Compare(x.slice, y.slice), cmp.Compare(y.hosts.a, x.hosts.a), cmp.Compare(y.hosts.b, x.hosts.b))
	})
	for _, k := range keys[:skewBuckets/8] {
		delete(c.buckets, k)
		c.forgotten++
	}
	clear(c.cache)
	clear(c.fleet)
	clear(c.met[:])
	c.version++
}

// estimate is what the samples of two hosts around one slice agree on.
type estimate struct {
	bounds
	// agree of total samples contain all of bounds; agree 0 when no majority does.
	agree, total int
	versions     [3]uint32
}

// stands: the estimate needs no other to confirm it.
func (e *estimate) stands() bool { return e.agree >= skewAgree && !e.vague() }

// direct is what the samples of the slice and its neighbours say about two hosts.
func (c *clocks) direct(bk bucketKey) *estimate {
	var near [3]*bucket
	var versions [3]uint32
	for i := range near {
		if b := c.buckets[bucketKey{bk.hosts, bk.slice - 1 + int64(i)}]; b != nil {
			near[i], versions[i] = b, b.version
		}
	}
	if e := c.cache[bk]; e != nil && e.versions == versions {
		return e
	}
	var room [3 * skewSamples]bounds
	offs := room[:0]
	for _, b := range near {
		if b == nil {
			continue
		}
		n := 0
		for i := range b.samples {
			if n < skewSamples && !b.samples[i].void {
				offs = append(offs, b.samples[i].off)
				n++
			}
		}
	}
	e := &estimate{total: len(offs), versions: versions}
	e.bounds, e.agree = majority(offs)
	if len(c.cache) > skewBuckets {
		clear(c.cache)
	}
	c.cache[bk] = e
	return e
}

// majority is Marzullo's algorithm: the bounds that more than half of offs contain, and how many do.
// Of two that are equally good it gives both and what is between.
func majority(offs []bounds) (best bounds, agree int) {
	type edge struct {
		at   int64
		open bool
	}
	var room [6 * skewSamples]edge
	edges := room[:0]
	for _, o := range offs {
		edges = append(edges, edge{o.lo, true}, edge{o.hi, false})
	}
	slices.SortFunc(edges, func(x, y edge) int {
		if x.at != y.at {
			return cmp.Compare(x.at, y.at)
		}
		// Bounds include their ends, so what opens goes first.
		switch {
		case x.open == y.open:
			return 0
		case x.open:
			return -1
		default:
			return 1
		}
	})
	depth, top := 0, 0
	for i, e := range edges {
		if !e.open {
			depth--
			continue
		}
		depth++
		if edges[i+1].open {
			continue
		}
		if depth > top {
			top, best = depth, bounds{e.at, edges[i+1].at}
		} else if depth == top {
			best.hi = edges[i+1].at
		}
	}
	if 2*top <= len(offs) {
		return bounds{}, 0
	}
	return best, top
}

// between is the offset of the clock of host y against that of x at a time, if it is known: from
// the pairs of the two, else by way of other hosts.
func (c *clocks) between(x, y uint64, at int64) (bounds, bool) {
	if len(c.buckets) == 0 || x == 0 || y == 0 || x == y {
		return bounds{}, false
	}
	p, swapped := pairOf(x, y)
	slice := sliceOf(at)
	e := c.direct(bucketKey{p, slice})
	off, ok := e.bounds, e.stands()
	if !ok {
		off, ok = c.through(slice).between(p)
	}
	if ok && swapped {
		off = off.negated()
	}
	return off, ok
}

// furthest is at least how far any two hosts are apart of which that is known at that time.
func (c *clocks) furthest(at int64) int64 {
	if len(c.buckets) == 0 {
		return 0
	}
	return c.through(sliceOf(at)).far
}

// through is what all pairs of hosts around one slice say together.
func (c *clocks) through(slice int64) *fleet {
	f := c.fleet[slice]
	if f != nil && f.version == c.version {
		return f
	}
	var edges []fleetEdge
	met := map[hostPair]struct{}{}
	for bk := range c.buckets {
		if bk.slice < slice-1 || bk.slice > slice+1 {
			continue
		}
		if _, again := met[bk.hosts]; again {
			continue
		}
		met[bk.hosts] = struct{}{}
		if e := c.direct(bucketKey{bk.hosts, slice}); e.agree > 0 && !e.vague() {
			edges = append(edges, fleetEdge{bk.hosts, e.bounds, e.stands()})
		}
	}
	if len(c.fleet) > 16 {
		clear(c.fleet)
	}
	f = newFleet(edges)
	f.version = c.version
	c.far = max(c.far, f.far)
	c.fleet[slice] = f
	return f
}

// TakeClocks returns for how many pairs of hosts and slices of time what is known of their clocks was forgotten at
// the limit, since the last call.
func (x *Index) TakeClocks() int {
	n := x.clocks.forgotten
	x.clocks.forgotten = 0
	return n
}

// learnSkew takes in what the exchange that id is an end of says about the clocks of its two hosts,
// if just one span is at each end. Otherwise a pair of them is false, so all say nothing. A span that tells no time itself
// makes the numbers doubtful all the same, or what is learned would depend on when it comes.
func (x *Index) learnSkew(id ID) {
	f := x.View(id)
	if !hasPair(f) {
		return
	}
	k := seqPair(f.core)
	var oneClient, oneServer [1]ID
	clients, _ := x.ids(&x.defs, k, f.core, &oneClient)
	servers, _ := x.ids(&x.refs, k, f.core, &oneServer)
	if len(clients) == 0 || len(servers) == 0 || len(clients) > skewClaims || len(servers) > skewClaims {
		return
	}
	n := len(clients) + len(servers)
	for _, c := range clients {
		for _, s := range servers {
			if n > 3 && c != id && s != id {
				continue
			}
			x.learnPair(k, x.View(c), x.View(s), n > 2)
		}
	}
}

// learnSkewOf does so where other is the only span at the other end, and id at its own.
func (x *Index) learnSkewOf(id, other ID) {
	f, o := x.View(id), x.View(other)
	if !tellsTime(f) || !agree(domainSeqPair, f.core, o.core) {
		return
	}
	if f.Role == Server {
		f, o = o, f
	}
	x.learnPair(seqPair(f.core), f, o, false)
}

// tellsTime: f is an end of an exchange that says something about clocks. The times of other producers are read at
// other moments.
func tellsTime(f View) bool {
	return hasPair(f) && !f.Foreign && !f.Pending && f.Host != 0
}

// hasPair: f is an end of an exchange by the numbers of request and response.
func hasPair(f View) bool { return f.Raw && f.Role != Other && f.ReqSeq != 0 && f.RespSeq != 0 }

func (x *Index) learnPair(k Key, client, server View, void bool) {
	if !client.Foreign && !server.Foreign && connected(server.core, client.core) != unfit {
		x.clocks.learn(k, client.core, server.core, void)
	}
}
