package link

import "encoding/binary"

// A span is known by its span id: that is how one that was sent twice is found, and how a context names it.
// The ids of raw spans are unique on their own; those of SDK spans in their trace.

func spanKey(own uint32, s SpanID) Key {
	return domainSpan.key2(uint64(own), binary.LittleEndian.Uint64(s[:]))
}

func rawSpanKey(s SpanID) Key { return domainRawSpan.key1(binary.LittleEndian.Uint64(s[:])) }

// key is where c is found by what it is.
func (c *core) key() Key {
	if c.Raw {
		return rawSpanKey(c.Span)
	}
	return spanKey(c.own, c.Span)
}

// same says whether both are of one span, which was sent twice. The ids of raw spans are unique on a
// host, those of SDK spans in their trace; client and server of a Zipkin-style call share one.
func (v View) same(f *Fact) bool {
	if v.Span != f.Span || v.Role != f.Role || v.Raw != f.Raw {
		return false
	}
	if f.Raw {
		return v.Host == f.Host
	}
	return v.OwnTrace == f.OwnTrace
}

// identity is a hash of what same compares.
func (c *core) identity() Key {
	who := uint64(c.own)
	if c.Raw {
		who = c.Host
	}
	return domainIdentity.key(binary.LittleEndian.Uint64(c.Span[:]), who, uint64(c.Role)<<1|uint64(bit(c.Raw)))
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// Find returns the fact of the span that f is of, None when there is none. Spans without an id are all different.
func (x *Index) Find(f *Fact) ID {
	if f.Span == (SpanID{}) {
		return None
	}
	c := core{Span: f.Span, Host: f.Host, ReqSeq: f.ReqSeq, Role: f.Role, Raw: f.Raw}
	if k, side, ok := x.stem(&c); ok {
		if id, _ := x.aloneAt(k, side); id != None && x.View(id).same(f) {
			return id
		}
	}
	if !c.Raw {
		c.own = ownKey(f.OwnTrace)
	}
	var one [1]ID
	ids, crowd := x.defs.get(c.key(), &one)
	if crowd != nil {
		if id := x.crowded.Get(c.identity()); id != nil && x.View(*id).same(f) {
			return *id
		}
		return None
	}
	for _, id := range ids {
		if x.View(id).same(f) {
			return id
		}
	}
	return None
}

// identify makes id known by what it is, where its stem does not. Where that is not unique, which nobody but an attacker does, those
// found by it are also in a table of their own, or each would be looked at for each that comes.
func (x *Index) identify(id ID) {
	f := x.core(id)
	if f.Span == (SpanID{}) {
		return
	}
	dropped, crowd := x.defs.add(f.key(), id)
	x.overflow += dropped
	switch {
	case crowd == nil:
	case crowd.n == crowdFrom:
		for _, id := range crowd.all() {
			*x.crowded.Put(x.core(id).identity()) = id
		}
	default:
		*x.crowded.Put(f.identity()) = id
	}
}

func (x *Index) unidentify(id ID) {
	f := x.core(id)
	if f.Span == (SpanID{}) {
		return
	}
	x.defs.remove(f.key(), id)
	if x.crowded.Len() == 0 {
		return
	}
	who := f.identity()
	if at := x.crowded.Get(who); at != nil && *at == id {
		x.crowded.Delete(who)
	}
}

// named calls fn for the raw spans that the context of child names, false where they are too many.
func (x *Index) named(r *row, child ID, c View, fn func(ID) bool) bool {
	var one [1]ID
	ids, crowd := x.defs.get(rawSpanKey(c.CtxParent), &one)
	may := x.rations[r.quota].least
	if len(ids) > may || (crowd != nil && crowd.n > may) {
		return false
	}
	if crowd != nil {
		ids = crowd.all()
	}
	for _, id := range ids {
		if x.looks++; id != child && x.core(id).own == ownKey(c.CtxTrace) {
			fn(id)
		}
	}
	return true
}

// crowdOf is how many spans define k, at the most, by which span may be found.
func (x *Index) crowdOf(k Key, span SpanID) int {
	n := x.defs.size(k)
	if k.domain() == domainSpan {
		n = max(n, x.defs.size(rawSpanKey(span)))
	}
	return n
}

// definitions is how many spans define k, to which child refers.
func (x *Index) definitions(child View, k Key) int {
	n := x.count(&x.defs, k, child.core)
	if k.domain() != domainSpan {
		return n
	}
	var one [1]ID
	ids, crowd := x.defs.get(rawSpanKey(child.CtxParent), &one)
	if crowd != nil {
		return n + crowd.n // whatever their traces
	}
	for _, id := range ids {
		n += int(bit(x.core(id).own == ownKey(child.CtxTrace)))
	}
	return n
}
