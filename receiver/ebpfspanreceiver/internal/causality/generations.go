package causality

// generations is a map that forgets: what was not put for a while goes.
type generations[K comparable, V any] struct {
	now, old map[K]V
	turned   uint64
}

func newGenerations[K comparable, V any]() generations[K, V] {
	return generations[K, V]{now: map[K]V{}}
}

func (g *generations[K, V]) put(k K, v V) { g.now[k] = v }

func (g *generations[K, V]) get(k K) (V, bool) {
	v, ok := g.now[k]
	if !ok {
		v, ok = g.old[k]
	}
	return v, ok
}

// age drops what was put before `before`, if not since. It is cheap to call.
func (g *generations[K, V]) age(before, now uint64) {
	if before > g.turned || len(g.now) > maxCalls {
		g.old, g.now, g.turned = g.now, map[K]V{}, now
	}
}
