package causality

// generations is a map that forgets: what was not put for a while goes. The zero value is ready.
type generations[K comparable, V any] struct {
	now, old map[K]V
	turned   uint64
}

func (g *generations[K, V]) put(k K, v V) {
	if g.now == nil {
		g.now = map[K]V{}
	}
	g.now[k] = v
}

func (g *generations[K, V]) get(k K) (V, bool) {
	v, ok := g.now[k]
	if !ok {
		v, ok = g.old[k]
	}
	return v, ok
}

func (g *generations[K, V]) has(k K) bool {
	_, ok := g.get(k)
	return ok
}

// turn begins another generation: what was put before the last one goes.
func (g *generations[K, V]) turn() { g.old, g.now = g.now, nil }

// age drops what was put before `before`, if not since. It is cheap to call.
func (g *generations[K, V]) age(before, now uint64) {
	if before > g.turned || len(g.now) > maxCalls {
		g.turn()
		g.turned = now
	}
}
