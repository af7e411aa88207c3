package link

import "sort"

// postings maps a key to ids. Most keys have one id, which is kept in place.
type postings struct {
	one  map[Key]ID
	many map[Key][]ID
}

func newPostings() postings {
	return postings{one: map[Key]ID{}, many: map[Key][]ID{}}
}

// get returns the ids of k; buf is room for a single one.
func (p *postings) get(k Key, buf *[1]ID) []ID {
	if id, ok := p.one[k]; ok {
		buf[0] = id
		return buf[:]
	}
	if len(p.many) == 0 {
		return nil
	}
	return p.many[k]
}

// add appends id to k.
func (p *postings) add(k Key, id ID) {
	if list, ok := p.many[k]; ok {
		p.many[k] = append(list, id)
		return
	}
	if first, ok := p.one[k]; ok {
		delete(p.one, k)
		p.many[k] = []ID{first, id}
		return
	}
	p.one[k] = id
}

// insert keeps k sorted by less and returns how many ids fell out at the low end.
func (p *postings) insert(k Key, id ID, less func(a, b ID) bool) int {
	p.add(k, id)
	list := p.many[k]
	if len(list) < 2 {
		return 0
	}
	at := sort.Search(len(list)-1, func(i int) bool { return less(id, list[i]) })
	copy(list[at+1:], list[at:len(list)-1])
	list[at] = id
	if len(list) <= maxDefs {
		return 0
	}
	// An eighth at once: one at a time would move the list at each insert.
	const surplus = maxDefs / 8
	p.many[k] = append(list[:0], list[surplus:]...)
	return surplus
}

// filter keeps the ids of k that are live.
func (p *postings) filter(k Key, live []bool) {
	if id, ok := p.one[k]; ok {
		if !live[id] {
			delete(p.one, k)
		}
		return
	}
	list, ok := p.many[k]
	if !ok {
		return
	}
	kept := list[:0]
	for _, id := range list {
		if live[id] {
			kept = append(kept, id)
		}
	}
	switch {
	case len(kept) == 0:
		delete(p.many, k)
	case cap(kept) > 64 && len(kept) < cap(kept)/4:
		p.many[k] = append([]ID(nil), kept...)
	default:
		p.many[k] = kept
	}
}
