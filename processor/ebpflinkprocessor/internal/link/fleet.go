package link

import (
	"cmp"
	"slices"
)

// fleet joins what is known of single pairs of hosts, so that two hosts that called each other once,
// or never, are known by way of others. One pair proves nothing; pairs around a circle of hosts whose
// offsets add up to nothing do, as three pairs of the same two hosts do.
//
// It is a forest over the hosts, of the surest and narrowest edges. An edge outside closes a circle:
// if it agrees with the way through the tree, all edges on that way are confirmed.
type fleet struct {
	version uint32
	nodes   map[uint64]*fleetNode
	// order has the nodes, each behind the one that is up of it.
	order []*fleetNode
	// across holds the edges outside the forest that were confirmed.
	across map[hostPair]bounds
	// far is at least how far any two hosts are apart of which that is known.
	far int64
}

type fleetEdge struct {
	hosts hostPair
	off   bounds
	// sure: the edge needs no confirmation.
	sure bool
}

type fleetNode struct {
	up *fleetNode
	// off is this host's clock minus that of up.
	off       bounds
	confirmed bool
	depth     int
	// top is the highest host that confirmed edges lead to, fromTop this host's clock minus that of top.
	top     *fleetNode
	fromTop bounds
	// below has the clocks of all whose top this is.
	below bounds
}

func newFleet(edges []fleetEdge) *fleet {
	f := &fleet{nodes: map[uint64]*fleetNode{}, across: map[hostPair]bounds{}}
	slices.SortFunc(edges, func(x, y fleetEdge) int {
		if x.sure != y.sure {
			if x.sure {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(x.off.width(), y.off.width()), cmp.Compare(x.hosts.a, y.hosts.a), cmp.Compare(x.hosts.b, y.hosts.b))
	})
	rest := f.plant(edges)
	for _, e := range rest {
		way, _, ok := f.way(e.hosts, false)
		if !ok {
			continue
		}
		if way.vague() || !way.meets(e.off) {
			continue
		}
		f.across[e.hosts] = e.off
		f.confirm(e.hosts)
	}
	f.measure(edges)
	return f
}

// measure finds far. An edge that needs no confirmation counts wherever it is, the others count on confirmed ways.
func (f *fleet) measure(edges []fleetEdge) {
	for _, e := range edges {
		if _, confirmed := f.across[e.hosts]; e.sure || confirmed {
			f.far = max(f.far, e.off.furthest())
		}
	}
	for _, n := range f.order {
		if n.top = n; n.up != nil && n.confirmed {
			n.top, n.fromTop = n.up.top, n.up.fromTop.plus(n.off)
		}
		t := n.top
		t.below = bounds{min(t.below.lo, n.fromTop.lo), max(t.below.hi, n.fromTop.hi)}
		f.far = max(f.far, t.below.width())
	}
}

// plant builds the forest and returns the edges that it has no use for.
func (f *fleet) plant(edges []fleetEdge) (rest []fleetEdge) {
	group := map[uint64]uint64{}
	find := func(h uint64) uint64 {
		for {
			up, ok := group[h]
			if !ok {
				return h
			}
			if top, ok := group[up]; ok {
				group[h] = top
			}
			h = up
		}
	}
	type branch struct {
		to   uint64
		off  bounds
		sure bool
	}
	near := map[uint64][]branch{}
	var hosts []uint64
	for _, e := range edges {
		x, y := find(e.hosts.a), find(e.hosts.b)
		if x == y {
			rest = append(rest, e)
			continue
		}
		group[x] = y
		for _, h := range []uint64{e.hosts.a, e.hosts.b} {
			if near[h] == nil {
				hosts = append(hosts, h)
			}
		}
		near[e.hosts.a] = append(near[e.hosts.a], branch{e.hosts.b, e.off, e.sure})
		near[e.hosts.b] = append(near[e.hosts.b], branch{e.hosts.a, e.off.negated(), e.sure})
	}
	for _, root := range hosts {
		if f.nodes[root] != nil {
			continue
		}
		f.add(root, &fleetNode{})
		for queue := []uint64{root}; len(queue) > 0; queue = queue[1:] {
			up := f.nodes[queue[0]]
			for _, b := range near[queue[0]] {
				if f.nodes[b.to] == nil {
					f.add(b.to, &fleetNode{up: up, off: b.off, confirmed: b.sure, depth: up.depth + 1})
					queue = append(queue, b.to)
				}
			}
		}
	}
	return rest
}

func (f *fleet) add(host uint64, n *fleetNode) {
	f.nodes[host] = n
	f.order = append(f.order, n)
}

// way adds up the offsets from a to b through the forest. With confirmed, only over such edges.
func (f *fleet) way(p hostPair, confirmed bool) (off bounds, edges int, ok bool) {
	a, b := f.nodes[p.a], f.nodes[p.b]
	if a == nil || b == nil {
		return bounds{}, 0, false
	}
	for a != b {
		if a.depth < b.depth {
			if confirmed && !b.confirmed {
				return bounds{}, 0, false
			}
			off = off.plus(b.off)
			b = b.up
		} else {
			if a.up == nil || (confirmed && !a.confirmed) {
				return bounds{}, 0, false
			}
			off = off.plus(a.off.negated())
			a = a.up
		}
		edges++
	}
	return off, edges, true
}

func (f *fleet) confirm(p hostPair) {
	for a, b := f.nodes[p.a], f.nodes[p.b]; a != b; {
		if a.depth < b.depth {
			b.confirmed, b = true, b.up
		} else {
			a.confirmed, a = true, a.up
		}
	}
}

// between is the offset of b against a over confirmed edges only.
func (f *fleet) between(p hostPair) (bounds, bool) {
	if off, ok := f.across[p]; ok {
		return off, true
	}
	off, edges, ok := f.way(p, true)
	return off, ok && edges > 0 && !off.vague()
}
