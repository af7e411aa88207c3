package link

import (
	"cmp"
	"slices"
	"sort"
)

const (
	// crowdFrom is how many ids a key has before they are kept as a crowd.
	crowdFrom = 65
	// chunkSize bounds what an insertion moves and what a look at a chunk may find useless.
	chunkSize = 128
)

// crowd holds the ids of a key that many facts share, by start and id, in chunks: adding, removing and
// finding those of a time cost the logarithm of their number and no more, or one key could make all
// work quadratic.
type crowd struct {
	chunks []*chunk
	n      int
	at     times
}

// times tells when a fact starts and ends.
type times func(ID) (start, end int64)

type chunk struct {
	starts []int64
	ids    []ID
	// latest is the latest end of any of them.
	latest int64
}

// last computes latest anew.
func (c *chunk) last(at times) {
	_, c.latest = at(c.ids[0])
	for _, id := range c.ids[1:] {
		_, end := at(id)
		c.latest = max(c.latest, end)
	}
}

// place is where (start, id) is in c, or would be.
func (c *chunk) place(start int64, id ID) int {
	return sort.Search(len(c.ids), func(i int) bool {
		return c.starts[i] > start || (c.starts[i] == start && c.ids[i] >= id)
	})
}

// chunkOf is the first chunk that ends at or after (start, id), len(chunks) where none does.
func (c *crowd) chunkOf(start int64, id ID) int {
	return sort.Search(len(c.chunks), func(i int) bool {
		k := c.chunks[i]
		last := len(k.ids) - 1
		return cmp.Or(cmp.Compare(k.starts[last], start), cmp.Compare(k.ids[last], id)) >= 0
	})
}

func (c *crowd) insert(id ID) {
	start, end := c.at(id)
	c.n++
	at := c.chunkOf(start, id)
	if at == len(c.chunks) {
		// Spans come about in the order of their times: full chunks stay full.
		if at == 0 || len(c.chunks[at-1].ids) == chunkSize {
			c.chunks = append(c.chunks, &chunk{latest: end, starts: make([]int64, 0, chunkSize), ids: make([]ID, 0, chunkSize)})
		} else {
			at--
		}
	} else if k := c.chunks[at]; len(k.ids) == chunkSize {
		const half = chunkSize / 2
		upper := &chunk{starts: make([]int64, 0, chunkSize), ids: make([]ID, 0, chunkSize)}
		upper.starts, upper.ids = append(upper.starts, k.starts[half:]...), append(upper.ids, k.ids[half:]...)
		k.starts, k.ids = k.starts[:half], k.ids[:half]
		k.last(c.at)
		upper.last(c.at)
		c.chunks = slices.Insert(c.chunks, at+1, upper)
		if k.starts[half-1] < start || (k.starts[half-1] == start && k.ids[half-1] < id) {
			at++
		}
	}
	k := c.chunks[at]
	i := k.place(start, id)
	k.starts, k.ids = slices.Insert(k.starts, i, start), slices.Insert(k.ids, i, id)
	k.latest = max(k.latest, end)
}

// remove takes id out, whose times have not changed since it was put in.
func (c *crowd) remove(id ID) {
	start, gone := c.at(id)
	n := c.chunkOf(start, id)
	if n == len(c.chunks) {
		return
	}
	k := c.chunks[n]
	i := k.place(start, id)
	if i == len(k.ids) || k.ids[i] != id {
		return
	}
	c.n--
	k.starts, k.ids = slices.Delete(k.starts, i, i+1), slices.Delete(k.ids, i, i+1)
	if next := n + 1; next < len(c.chunks) && len(k.ids)+len(c.chunks[next].ids) <= chunkSize/2 {
		// Nearly empty chunks would take room and time for nothing.
		k.starts, k.ids = append(k.starts, c.chunks[next].starts...), append(k.ids, c.chunks[next].ids...)
		k.latest = max(k.latest, c.chunks[next].latest)
		c.chunks = slices.Delete(c.chunks, next, next+1)
	}
	switch {
	case len(k.ids) == 0:
		c.chunks = slices.Delete(c.chunks, n, n+1)
	case gone == k.latest:
		k.last(c.at)
	}
}

// all lists the ids.
func (c *crowd) all() []ID {
	ids := make([]ID, 0, c.n)
	for _, k := range c.chunks {
		ids = append(ids, k.ids...)
	}
	return ids
}

// dropOldest forgets the n with the earliest start, about, and returns how many.
func (c *crowd) dropOldest(n int) int {
	gone, i := 0, 0
	for i < len(c.chunks) && gone < n {
		gone += len(c.chunks[i].ids)
		i++
	}
	c.chunks = slices.Delete(c.chunks, 0, i)
	c.n -= gone
	return gone
}

// open is how many of them are at some time from since to last, of the latest maxDefs that start before.
func (c *crowd) open(since, last int64) (n int) {
	passed := 0
	for at := min(c.chunkOf(last, None), len(c.chunks)-1); at >= 0 && passed < maxDefs; at-- {
		k := c.chunks[at]
		passed += len(k.ids)
		if k.latest < since {
			continue
		}
		from := sort.Search(len(k.starts), func(i int) bool { return k.starts[i] >= since })
		to := sort.Search(len(k.starts), func(i int) bool { return k.starts[i] > last })
		n += to - from
		for _, id := range k.ids[:from] {
			if _, end := c.at(id); end >= since {
				n++
			}
		}
	}
	return n
}

// backwards calls fn for those that start at or before last, the latest first, until it returns false.
// Whole chunks that end before since are passed over.
func (c *crowd) backwards(last, since int64, fn func(ID) bool) {
	at := min(c.chunkOf(last, None), len(c.chunks)-1)
	for ; at >= 0; at-- {
		k := c.chunks[at]
		if k.latest < since {
			continue
		}
		for i := k.place(last, None) - 1; i >= 0; i-- {
			if !fn(k.ids[i]) {
				return
			}
		}
	}
}
