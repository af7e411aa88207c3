package link

// A raw span is posted by the number of its request alone, its stem, as long as no other span at the same end has that
// number: nearly always. So one place in the table does for both keys that the wire gives (seqByPair, seqByPorts) and
// for what the span is known by (identify): a look-up where there were three. Where a number is shared, as
// where connections begin at few of them or one call is captured at several places, the stem is split: all that have it
// are posted by each of their keys, until the last of them has gone. What a key finds is the same either way.

// split is what the defining side of a split stem holds, which is no id; the referring side has how many spans are
// below it.
const split = ^uint32(0)

func stemKey(reqSeq uint32) Key { return domainSeq.key1(uint64(reqSeq)) }

// stem is where c is posted by the number of its request, and on which side.
func (x *Index) stem(c *core) (k Key, side int, ok bool) {
	if !x.stemmed || !c.Raw || c.ReqSeq == 0 || c.Role == Other {
		return 0, 0, false
	}
	if c.Role == Server {
		side = referring
	}
	return stemKey(c.ReqSeq), side, true
}

// postStem posts id by its stem, and returns false for a span that has none. other has the same number at the other
// end, None where nobody has; divided says that there are others to ask for.
func (x *Index) postStem(id ID, c *core) (posted bool, other ID, divided bool) {
	k, side, ok := x.stem(c)
	if !ok {
		return false, None, false
	}
	e := x.keys.Put(k)
	switch {
	case e[defining] == split:
		e[referring]++
		x.postNumbered(id)
	case e[side] == 0:
		e[side] = uint32(id) + 1
		return true, ID(e[1-side] - 1), false
	default:
		alone := *e
		*e = sides{split, 1}
		for _, v := range alone {
			if v != 0 {
				e[referring]++
			}
		}
		// From here on e may be elsewhere.
		for _, v := range alone {
			if v != 0 {
				x.postNumbered(ID(v - 1))
			}
		}
		x.postNumbered(id)
	}
	return true, None, true
}

func (x *Index) unpostStem(id ID, c *core) bool {
	k, side, ok := x.stem(c)
	if !ok {
		return false
	}
	e := x.keys.Get(k)
	switch {
	case e == nil:
	case e[defining] == split:
		if e[referring]--; e[referring] == 0 {
			x.keys.Delete(k)
		}
		x.unpostNumbered(id)
	case e[side] == uint32(id)+1:
		if e[side] = 0; *e == (sides{}) {
			x.keys.Delete(k)
		}
	}
	return true
}

// postNumbered posts id, whose stem is split, by what that stood for.
func (x *Index) postNumbered(id ID) {
	c := x.core(id)
	if !x.known(c) {
		x.identify(id)
	}
	p, pair, ports := x.numbered(c)
	for _, k := range [...]Key{pair, ports} {
		if k != 0 {
			dropped, _ := p.add(k, id)
			x.overflow += dropped
		}
	}
}

func (x *Index) unpostNumbered(id ID) {
	c := x.core(id)
	if !x.known(c) {
		x.unidentify(id)
	}
	p, pair, ports := x.numbered(c)
	for _, k := range [...]Key{pair, ports} {
		if k != 0 {
			p.remove(k, id)
		}
	}
}

// numbered returns the keys that the stem of c stands for, 0 for one that it has not, and the side that they are on.
func (x *Index) numbered(c *core) (p *postings, pair, ports Key) {
	p = &x.defs
	if c.Role == Server {
		p = &x.refs
	}
	if c.RespSeq != 0 {
		pair = seqPair(c)
	}
	if client, server := c.ports(); client != 0 && server != 0 {
		ports = seqPorts(c, client, server)
	}
	return p, pair, ports
}

// known: c is known by its span id whatever its stem. The span that it announces may end with another number, or none;
// and a header names a span by nothing else.
func (x *Index) known(c *core) bool { return c.Pending || x.allKnown }

// heed makes each raw span known by its span id when f, which is not here yet, is the first that has a header.
func (x *Index) heed(f *Fact) {
	if f.CtxTrace == (TraceID{}) || f.CtxParent == (SpanID{}) {
		return
	}
	x.stating = x.stating || (!f.Raw && f.Role == Server)
	if x.allKnown {
		return
	}
	for id := range ID(x.facts.Len()) {
		c := x.core(id)
		k, _, ok := x.stem(c)
		if !ok || c.Pending {
			continue
		}
		// In a split one it is known already.
		if e := x.keys.Get(k); e != nil && e[defining] != split {
			x.identify(id)
		}
	}
	x.allKnown = true
}

// alone returns the one span that has the stem of c on that side, None where there is none; split says that there are
// others to ask for.
func (x *Index) alone(c *core, side int) (id ID, divided bool) {
	return x.aloneAt(stemKey(c.ReqSeq), side)
}

// aloneAt is alone by the key of the stem.
func (x *Index) aloneAt(k Key, side int) (id ID, divided bool) {
	e := x.keys.Get(k)
	switch {
	case e == nil:
		return None, false
	case e[defining] == split:
		return None, true
	default:
		return ID(e[side] - 1), false
	}
}

// ids returns what has k on the side of p, unless it is a crowd; c is any span that has k, and buf is room for a
// single id.
func (x *Index) ids(p *postings, k Key, c *core, buf *[1]ID) (ids []ID, crowded *crowd) {
	if d := k.domain(); !x.stemmed || (d != domainSeqPair && d != domainSeqPorts) {
		return p.get(k, buf)
	}
	id, divided := x.alone(c, p.side)
	if divided {
		return p.get(k, buf)
	}
	if id == None {
		return nil, nil
	}
	if !agree(k.domain(), c, x.core(id)) {
		return nil, nil
	}
	buf[0] = id
	return buf[:], nil
}

// agree: two spans with the same stem have the same key of that domain, which c has.
func agree(d domain, c, other *core) bool {
	if d == domainSeqPair {
		return c.RespSeq == other.RespSeq
	}
	client, server := c.ports()
	c2, s2 := other.ports()
	return client == c2 && server == s2
}

// ports are those of the two ends of the connection of c, 0 where unknown.
func (c *core) ports() (client, server uint16) {
	if c.Role == Server {
		return c.peerPort, c.localPort
	}
	return c.localPort, c.peerPort
}

// count is how many ids has k on the side of p.
func (x *Index) count(p *postings, k Key, c *core) int {
	var one [1]ID
	ids, crowded := x.ids(p, k, c, &one)
	if crowded != nil {
		return crowded.n
	}
	return len(ids)
}
