package link

// owner is whose spans are, as their resource says: what the spans of a process have in common is kept once.
type owner struct {
	who
	// spans is how many there are.
	spans uint32
	// site is where it runs, 0 where it does not say.
	site uint32
	// at is its place in named, by each of its names.
	at [maxNames]uint32
}

// who tells an owner from all others. Zero values mean unknown.
type who struct {
	Host, Container, Pod   uint64
	Service, PID, Instance uint32
	// Raw: its spans are, so the process is one that eBPF sees.
	Raw bool
}

// site is where processes run, as resources say: a container, a pod, or both.
type site struct {
	place
	// owners is how many run there.
	owners uint32
	// at is its place in inContainer and inPod.
	at [2]uint32
}

type place struct{ Container, Pod uint64 }

const (
	// maxSites is how many containers of a pod, those before a restart included, are looked at for one span. A pod has
	// fewer.
	maxSites = 64
	// maxNamed is how many processes with one name are compared with a span's: of one that names several nothing is known
	// but that it names some.
	maxNamed = 16
)

// owners are known by what they say, and those of raw spans by how they name their process.
type owners struct {
	all   Stock[owner]
	byWho map[who]uint32
	// last is the one that was asked for last: spans come by resources.
	last  uint32
	named map[Key][]uint32

	sites              Stock[site]
	byPlace            map[place]uint32
	inContainer, inPod map[uint64][]uint32
}

func newOwners() owners {
	return owners{
		byWho: map[who]uint32{}, named: map[Key][]uint32{},
		byPlace: map[place]uint32{}, inContainer: map[uint64][]uint32{}, inPod: map[uint64][]uint32{},
	}
}

// nobodys owns what says nothing.
var nobodys owner

// enter gives w another span.
func (s *owners) enter(w *who) uint32 {
	if s.last != 0 {
		if o := s.all.Of(s.last); o.who == *w {
			o.spans++
			return s.last
		}
	}
	n, known := s.byWho[*w]
	if !known {
		n = s.all.Take()
		s.byWho[*w] = n
		o := s.all.Of(n)
		*o = owner{who: *w}
		o.site = s.settle(place{w.Container, w.Pod})
		if w.Raw {
			for i, k := range w.names() {
				if k != 0 {
					o.at[i] = insert(s.named, k, n)
				}
			}
		}
	}
	s.all.Of(n).spans++
	s.last = n
	return n
}

// leave takes a span from the owner with that number; 0 is nobody.
func (s *owners) leave(n uint32) {
	if n == 0 {
		return
	}
	o := s.all.Of(n)
	if o.spans--; o.spans > 0 {
		return
	}
	if o.Raw {
		for i, k := range o.names() {
			if k != 0 {
				cut(s.named, k, o.at[i], func(moved uint32) *uint32 { return &s.all.Of(moved).at[i] })
			}
		}
	}
	s.desert(o.site)
	delete(s.byWho, o.who)
	if s.last == n {
		s.last = 0
	}
	s.all.Give(n)
}

// settle gives the site at p another owner.
func (s *owners) settle(p place) uint32 {
	if p == (place{}) {
		return 0
	}
	n, known := s.byPlace[p]
	if !known {
		n = s.sites.Take()
		s.byPlace[p] = n
		at := s.sites.Of(n)
		*at = site{place: p}
		if p.Container != 0 {
			at.at[0] = insert(s.inContainer, p.Container, n)
		}
		if p.Pod != 0 {
			at.at[1] = insert(s.inPod, p.Pod, n)
		}
	}
	s.sites.Of(n).owners++
	return n
}

func (s *owners) desert(n uint32) {
	if n == 0 {
		return
	}
	at := s.sites.Of(n)
	if at.owners--; at.owners > 0 {
		return
	}
	if at.Container != 0 {
		cut(s.inContainer, at.Container, at.at[0], func(moved uint32) *uint32 { return &s.sites.Of(moved).at[0] })
	}
	if at.Pod != 0 {
		cut(s.inPod, at.Pod, at.at[1], func(moved uint32) *uint32 { return &s.sites.Of(moved).at[1] })
	}
	delete(s.byPlace, at.place)
	s.sites.Give(n)
}

// insert appends n to the list of k and returns its place there.
func insert[K comparable](lists map[K][]uint32, k K, n uint32) uint32 {
	l := lists[k]
	lists[k] = append(l, n)
	return uint32(len(l))
}

// cut takes what is at that place out of the list of k. The last comes in its stead, and place is where that keeps its own.
func cut[K comparable](lists map[K][]uint32, k K, at uint32, place func(moved uint32) *uint32) {
	l := lists[k]
	last := len(l) - 1
	if last == 0 {
		delete(lists, k)
		return
	}
	if int(at) != last {
		l[at] = l[last]
		*place(l[at]) = at
	}
	lists[k] = l[:last]
}

// What an owner is called: the first two names are of a process, the others of a service where it runs.
const (
	nameProcess = iota
	nameInstance
	nameInContainer
	nameInPod
	maxNames
)

// names are the keys of what w is called, 0 for what it is not.
func (w *who) names() (k [maxNames]Key) {
	if w.PID != 0 && w.Host != 0 {
		k[nameProcess] = domainProcess.key2(w.Host, uint64(w.PID))
	}
	if w.Instance != 0 && w.Service != 0 {
		k[nameInstance] = domainInstance.key2(uint64(w.Service), uint64(w.Instance))
	}
	if w.Container != 0 && w.Service != 0 {
		k[nameInContainer] = domainSite.key(w.Container, uint64(w.Service), nameInContainer)
	}
	if w.Pod != 0 && w.Service != 0 {
		k[nameInPod] = domainSite.key(w.Pod, uint64(w.Service), nameInPod)
	}
	return k
}

// sameProcess: both name a process, the same one.
func (w *who) sameProcess(o *who) bool {
	return (w.PID != 0 && w.Host != 0 && w.Host == o.Host && w.PID == o.PID) ||
		(w.Instance != 0 && w.Service != 0 && w.Service == o.Service && w.Instance == o.Instance)
}

// otherPlace: both say in which container or pod they run, and not the same. Of a process that counts for more than how it
// is named: a process id in a container may be that of another process outside.
func (w *who) otherPlace(o *who) bool {
	return differ(w.Container, o.Container) || differ(w.Pod, o.Pod)
}

// differ: both are known, and not the same.
func differ(a, b uint64) bool { return a != 0 && b != 0 && a != b }

// samePlace: both say in which container or pod they run, and the same.
func (w *who) samePlace(o *who) bool {
	return ((w.Container != 0 && w.Container == o.Container) || (w.Pod != 0 && w.Pod == o.Pod)) && !w.otherPlace(o)
}

// seen says by which of its names raw spans name the process of o, too, as its number in names: then it does not matter
// where that runs. false where they do by none.
func (s *owners) seen(o *owner) (by int, ok bool) {
	k := o.names()
	for by, k := range k[:nameInContainer] {
		if k == 0 {
			continue
		}
		same := s.named[k]
		if len(same) > maxNamed {
			return by, true
		}
		for _, n := range same {
			if r := s.all.Of(n); r.sameProcess(&o.who) && !r.otherPlace(&o.who) {
				return by, true
			}
		}
	}
	return 0, false
}

// serves says whether raw spans are of the service of o where that runs.
func (s *owners) serves(o *owner) bool {
	k := o.names()
	return len(s.named[k[nameInContainer]]) > 0 || len(s.named[k[nameInPod]]) > 0
}

// nearby calls fn, until it returns false, for the sites that o may be at: alike in what both say, of container and pod at
// least one. It returns false where they are too many.
func (s *owners) nearby(o *owner, fn func(site uint32) bool) (all bool) {
	var some []uint32
	switch p := (place{o.Container, o.Pod}); {
	case p.Container != 0 && p.Pod != 0:
		for _, p := range [...]place{p, {Container: p.Container}, {Pod: p.Pod}} {
			if n, known := s.byPlace[p]; known && !fn(n) {
				break
			}
		}
		return true
	case p.Container != 0:
		some = s.inContainer[p.Container]
	case p.Pod != 0:
		some = s.inPod[p.Pod]
	}
	if len(some) > maxSites {
		return false
	}
	for _, n := range some {
		if !fn(n) {
			break
		}
	}
	return true
}

// inPlace calls fn, until it returns false, for the spans on that side, of the role of v, that are where v may be, and
// there between since and last. It returns false where those places are too many.
func (x *Index) inPlace(side *postings, v View, since, last int64, fn func(ID) bool) (all bool) {
	more := true
	look := func(id ID) bool {
		if x.core(id).openIn(since, last) {
			more = fn(id)
		}
		return more
	}
	return x.owners.nearby(x.of(v), func(site uint32) bool {
		var one [1]ID
		some, crowd := side.get(siteKey(site, v.Role), &one)
		for _, id := range some {
			if !look(id) {
				break
			}
		}
		if crowd != nil {
			crowd.backwards(last, since, look)
		}
		return more
	})
}

// sizeInPlace is how many spans, of the role of v, are on that side where v may be.
func (x *Index) sizeInPlace(side *postings, v View) (n int) {
	x.owners.nearby(x.of(v), func(site uint32) bool {
		n += side.size(siteKey(site, v.Role))
		return true
	})
	return n
}

func siteKey(site uint32, r Role) Key { return domainSite.key2(uint64(site), uint64(r)) }
