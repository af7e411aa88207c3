package link

import "slices"

// postings maps a key to ids. Most keys have one id, which is kept in place; a few have some; those
// of a hot key, or a hostile one, are a crowd.
type postings struct {
	at times
	// limit is how many ids a key keeps, those with the latest start; 0 is no limit.
	limit  int
	one    map[Key]ID
	some   map[Key][]ID
	crowds map[Key]*crowd
}

func newPostings(at times, limit int) postings {
	return postings{at: at, limit: limit, one: map[Key]ID{}, some: map[Key][]ID{}, crowds: map[Key]*crowd{}}
}

// get returns the ids of k unless they are a crowd; buf is room for a single one.
func (p *postings) get(k Key, buf *[1]ID) (ids []ID, crowded *crowd) {
	if id, ok := p.one[k]; ok {
		buf[0] = id
		return buf[:], nil
	}
	if len(p.some) > 0 {
		if ids := p.some[k]; ids != nil {
			return ids, nil
		}
	}
	if len(p.crowds) > 0 {
		return nil, p.crowds[k]
	}
	return nil, nil
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

// add gives k another id and returns how many others fell out at the limit.
func (p *postings) add(k Key, id ID) int {
	if len(p.crowds) > 0 {
		if c := p.crowds[k]; c != nil {
			c.insert(id)
			if p.limit == 0 || c.n <= p.limit {
				return 0
			}
			// An eighth at once: one at a time would move the chunks each time.
			return c.dropOldest(p.limit / 8)
		}
	}
	if ids, ok := p.some[k]; ok {
		if ids = append(ids, id); len(ids) < crowdFrom {
			p.some[k] = ids
			return 0
		}
		c := &crowd{at: p.at}
		for _, id := range ids {
			c.insert(id)
		}
		delete(p.some, k)
		p.crowds[k] = c
		return 0
	}
	if first, ok := p.one[k]; ok {
		delete(p.one, k)
		p.some[k] = []ID{first, id}
		return 0
	}
	p.one[k] = id
	return 0
}

// remove takes id from k.
func (p *postings) remove(k Key, id ID) {
	if only, ok := p.one[k]; ok {
		if only == id {
			delete(p.one, k)
		}
		return
	}
	if ids, ok := p.some[k]; ok {
		i := slices.Index(ids, id)
		if i < 0 {
			return
		}
		ids[i] = ids[len(ids)-1]
		switch ids = ids[:len(ids)-1]; len(ids) {
		case 1:
			delete(p.some, k)
			p.one[k] = ids[0]
		default:
			p.some[k] = ids
		}
		return
	}
	c := p.crowds[k]
	if c == nil {
		return
	}
	c.remove(id)
	if c.n >= crowdFrom {
		return
	}
	delete(p.crowds, k)
	p.some[k] = c.all()
}
