package link

import "slices"

// Sides of a key: the ids that define it and those that refer to it. They meet, so they are kept together.
type sides [2]uint32

const (
	defining = iota
	referring
)

// postings is one side of the keys. Most keys have one id, which is kept in place; a few have some;
// those of a hot key, or a hostile one, are a crowd.
type postings struct {
	at times
	// limit is how many ids a key keeps, those with the latest start; 0 is no limit.
	limit int
	// table has, for a key, one more than its id, or where the list or the crowd of its ids is, or 0.
	table  *Table[sides]
	side   int
	some   pool[[]ID]
	crowds pool[*crowd]
	// keys counts those with an id by domain: to look for what nothing refers to costs nothing.
	keys [1 << domainBits]int
}

// What a value of the table is, in its highest bits.
const (
	isSome  = 1 << 31
	isCrowd = 1<<31 | 1<<30
	kind    = isCrowd
)

func newPostings(t *Table[sides], side int, at times, limit int) postings {
	return postings{table: t, side: side, at: at, limit: limit}
}

// pool gives places to few things.
type pool[T any] struct {
	all  []T
	free []uint32
}

func (p *pool[T]) put(v T) uint32 {
	if n := len(p.free); n > 0 {
		at := p.free[n-1]
		p.free = p.free[:n-1]
		p.all[at] = v
		return at
	}
	p.all = append(p.all, v)
	return uint32(len(p.all) - 1)
}

func (p *pool[T]) drop(at uint32) {
	var none T
	p.all[at] = none
	p.free = append(p.free, at)
}

// get returns the ids of k unless they are a crowd; buf is room for a single one.
func (p *postings) get(k Key, buf *[1]ID) (ids []ID, crowded *crowd) {
	if p.keys[k.domain()] == 0 {
		return nil, nil
	}
	entry := p.table.Get(k)
	if entry == nil {
		return nil, nil
	}
	switch v := entry[p.side]; {
	case v == 0:
		return nil, nil
	case v < isSome:
		buf[0] = ID(v - 1)
		return buf[:], nil
	case v&kind == isCrowd:
		return nil, p.crowds.all[v&^kind]
	default:
		return p.some.all[v&^kind], nil
	}
}

// upTo returns all ids of k, false when there are more than most.
func (p *postings) upTo(k Key, most int, buf *[1]ID) ([]ID, bool) {
	ids, crowded := p.get(k, buf)
	if crowded == nil {
		return ids, len(ids) <= most
	}
	if crowded.n > most {
		return nil, false
	}
	return crowded.all(), true
}

// size is how many ids k has.
func (p *postings) size(k Key) int {
	var one [1]ID
	ids, crowded := p.get(k, &one)
	if crowded != nil {
		return crowded.n
	}
	return len(ids)
}

// add gives k another id and returns how many others fell out at the limit, and the crowd where that is one.
func (p *postings) add(k Key, id ID) (dropped int, crowded *crowd) {
	v := &p.table.Put(k)[p.side]
	at := *v &^ kind
	switch {
	case *v == 0:
		*v = uint32(id) + 1
		p.keys[k.domain()]++
	case *v < isSome:
		*v = isSome | p.some.put([]ID{ID(*v - 1), id})
	case *v&kind == isCrowd:
		c := p.crowds.all[at]
		c.insert(id)
		if p.limit == 0 || c.n <= p.limit {
			return 0, c
		}
		// An eighth at once: one at a time would move the chunks each time.
		return c.dropOldest(p.limit / 8), c
	default:
		ids := append(p.some.all[at], id)
		if len(ids) < crowdFrom {
			p.some.all[at] = ids
			return 0, nil
		}
		c := &crowd{at: p.at}
		for _, id := range ids {
			c.insert(id)
		}
		p.some.drop(at)
		*v = isCrowd | p.crowds.put(c)
		return 0, c
	}
	return 0, nil
}

// remove takes id from k.
func (p *postings) remove(k Key, id ID) {
	entry := p.table.Get(k)
	if entry == nil {
		return
	}
	v := &entry[p.side]
	at := *v &^ kind
	switch {
	case *v == 0:
	case *v < isSome:
		if ID(*v-1) != id {
			return
		}
		*v = 0
		p.keys[k.domain()]--
		if *entry == (sides{}) {
			p.table.Delete(k)
		}
	case *v&kind == isCrowd:
		c := p.crowds.all[at]
		c.remove(id)
		if c.n >= crowdFrom {
			return
		}
		p.crowds.drop(at)
		*v = isSome | p.some.put(c.all())
	default:
		ids := p.some.all[at]
		i := slices.Index(ids, id)
		if i < 0 {
			return
		}
		ids[i] = ids[len(ids)-1]
		ids = ids[:len(ids)-1]
		p.some.all[at] = ids
		if len(ids) == 1 {
			p.some.drop(at)
			*v = uint32(ids[0]) + 1
		}
	}
}
