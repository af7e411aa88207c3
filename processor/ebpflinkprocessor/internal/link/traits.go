package link

import "slices"

// traits are what a fact has that keys are made of. They tell which rows a span has no part in, so that
// nobody asks each of them for each span.
type traits uint16

const (
	isRaw traits = 1 << iota
	isSDK
	isServer
	isClient
	hasParentContext
	hasReqSeq
	hasRespSeq
	hasPortsToo
	ofRequest
	ofThread
	hasBeside
	hasName
	hasWords
	// pastTraits is beyond them all.
	pastTraits
)

func (t traits) when(has bool) traits {
	if has {
		return t
	}
	return 0
}

func (v View) traits() traits {
	t := isSDK
	if v.Raw {
		t = isRaw
	}
	switch v.Role {
	case Server:
		t |= isServer
	case Client:
		t |= isClient
	}
	t |= hasReqSeq.when(v.ReqSeq != 0) | hasRespSeq.when(v.RespSeq != 0) | hasPortsToo.when(v.localPort != 0 && v.peerPort != 0)
	if v.Host != 0 {
		t |= ofRequest.when(v.Systrace != 0) | ofThread.when(v.Pseudo != 0)
	}
	t |= hasName.when(v.own != 0 && v.Span != SpanID{})
	t |= hasWords.when(v.said.owner != 0)
	return t | hasBeside.when(v.farther.rare) | hasParentContext.when(hasContext(v))
}

// keyed is how a row gets a key of a span.
type keyed struct {
	// needs is what a span must have at least.
	needs traits
	// key returns it, or false for a span that has no part in the row.
	key func(*Index, View) (Key, bool)
}

// plan is what the spans with some traits may have to do with.
type plan struct {
	// rows are those by which they may refer to a parent, strongest first.
	rows []uint8
	// defines are the rows with different keys, posted and refers those whose keys no stem stands for.
	defines, posted, refers []uint8
}

// plans has a place for each combination of traits, of which few occur.
type plans [pastTraits]*plan

// class says of id what it has. It follows each change of that.
func (x *Index) class(id ID) {
	c := x.core(id)
	c.has = x.View(id).traits()
	if p := &x.plans[c.has]; *p == nil {
		*p = x.makePlan(c.has)
	}
}

// planOf is the plan for what c has.
func (x *Index) planOf(c *core) *plan { return x.plans[c.has] }

func (x *Index) makePlan(t traits) *plan {
	p := &plan{}
	var met []*keyed
	add := func(to *[]uint8, k *keyed, i int, again bool) {
		if t&k.needs == k.needs && !again {
			*to = append(*to, uint8(i))
			met = append(met, k)
		}
	}
	has := func(k *keyed) bool { return slices.Contains(met, k) }
	for i := range x.rows {
		add(&p.defines, x.rows[i].defines, i, has(x.rows[i].defines))
	}
	stands := func(row int) bool { return x.stemmed && x.rows[row].numbered != 0 }
	for _, i := range p.defines {
		if !stands(int(i)) {
			p.posted = append(p.posted, i)
		}
	}
	met = nil
	for i := range x.rows {
		add(&p.refers, x.rows[i].refers, i, has(x.rows[i].refers) || stands(i) || x.rows[i].pair != nil)
		add(&p.rows, x.rows[i].refers, i, false)
	}
	return p
}
