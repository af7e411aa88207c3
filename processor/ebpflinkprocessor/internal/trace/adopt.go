package trace

import (
	"cmp"
	"slices"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

const (
	// mostAdopted is how many children one span names: SDKs and backends keep 128 links of a span (OpenTelemetry
	// specification, Span Limits).
	mostAdopted = 128
	// maxAdoptSteps is how many ancestors one Gather looks at for it.
	maxAdoptSteps = 1 << 16
)

// stray is a span that left without a parent, and the one that came since.
type stray struct{ child, parent link.ID }

// Adopted is a span that had left as a root when its parent came. It cannot be told any more, so the parent tells.
type Adopted struct {
	Trace link.TraceID
	Span  link.SpanID
	Edge  link.Edge
}

// Adoptions are the children that a span found gone, and how many it does not name, by reason.
type Adoptions struct {
	Children []Adopted
	// Above: the child, or what it left with, is above its parent. Unsettled: what is above the parent may change.
	Above, Unsettled, Beyond int
}

// strayed notes that r, which left alone, is a child of m.
func (b *Book) strayed(r link.ID, e *entry, m link.ID) {
	if e.fate != 0 && b.fateOf(e).up == noParent && !b.fateOf(e).decision.Dropped() {
		b.strays = append(b.strays, stray{r, m})
	}
}

// Adopt gives m, which has just left, the children that the last Gather found to have left alone. From now on they
// have a parent for all that comes: none is named twice, and none closes a cycle. It returns nil where there are none.
func (b *Book) Adopt(m *Member) *Adoptions {
	if len(b.strays) == 0 {
		return nil
	}
	from, found := slices.BinarySearchFunc(b.strays, m.ID, func(s stray, id link.ID) int { return cmp.Compare(s.parent, id) })
	if !found {
		return nil
	}
	mine := b.strays[from:]
	if n := slices.IndexFunc(mine, func(s stray) bool { return s.parent != m.ID }); n >= 0 {
		mine = mine[:n]
	}
	settled, firm := b.climb(m.ID)
	if !settled {
		return &Adoptions{Unsettled: len(mine)}
	}
	a := &Adoptions{}
	for _, s := range mine {
		e := b.entries.At(s.child)
		switch {
		case e.seen == b.round:
			a.Above++
		case len(a.Children) == mostAdopted:
			a.Beyond++
		default:
			f := b.fateOf(e)
			a.Children = append(a.Children, Adopted{f.trace, b.ix.View(s.child).Span, b.ix.Resolve(s.child)})
			f.up, f.tail, e.parented = up(m.ID)+1, tailOf(b.ix.View(m.ID).Span), true
			if !firm {
				b.loose[s.child] = struct{}{}
			}
		}
	}
	return a
}

// climb visits id and all that is above it. They are not settled where one has not left, so that it may still find a
// parent below, where one is forgotten, and where there are too many; firm when none of their parents may turn out to
// be another.
func (b *Book) climb(id link.ID) (settled, firm bool) {
	b.round++
	firm = true
	for ; id != link.None && b.steps > 0; b.steps-- {
		e := b.entries.At(id)
		if e.state != released || !b.visit(id) {
			return false, false
		}
		firm = firm && b.firm(e)
		var known bool
		if id, known = b.parent(id); !known {
			return false, false
		}
	}
	return id == link.None, firm
}
