package trace

import "github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"

const (
	// mostHops is how far Ahead goes: twice the depth of most traces, as it goes through calls and requests.
	mostHops = 8
	// mostMet bounds one Ahead, which has to fit in the nearest cache with all that it brings.
	mostMet = 8 * link.AtOnce
)

// marks tells spans that Ahead has met from others, or takes one for another: then less is brought near. Their entries, which
// know it, are not near yet.
type marks [16]uint64

// first: id was not met before.
func (m *marks) first(id link.ID) bool {
	word, bit := &m[id/64%link.ID(len(m))], uint64(1)<<(id%64)
	met := *word&bit != 0
	*word |= bit
	return !met
}

// Ahead brings near what Gather will look at for each of ids, and calls near for each span that it meets, so that the
// caller does the same with what it keeps. It changes nothing but how long Gather takes.
func (b *Book) Ahead(ids []link.ID, near func(link.ID)) {
	var marks marks
	met := b.met[:0]
	for _, id := range ids {
		// Most have left with others. They came one after the other, so their entries lie side by side.
		if b.entries.At(id).fate == 0 && marks.first(id) {
			met = append(met, link.Step{ID: id})
		}
	}
	bring := func(steps []link.Step) {
		for i := range steps {
			id := steps[i].ID
			b.ix.Ahead(id)
			b.entries.Ahead(id)
			near(id)
		}
	}
	bring(met)
	for from, hop := 0, 0; from < len(met) && hop < mostHops; hop++ {
		now := met[from:]
		from = len(met)
		for i := range now {
			id := now[i].ID
			if e := b.entries.At(id); e.fate != 0 {
				b.fates.Ahead(e.fate)
			} else {
				b.ix.Ask(&now[i])
			}
		}
		for i := range now {
			met = b.ix.Follow(&now[i], met)
			met = met[:min(len(met), mostMet)]
		}
		first := from
		for i := from; i < len(met); i++ {
			if marks.first(met[i].ID) {
				met[first] = met[i]
				first++
			}
		}
		met = met[:first]
		bring(met[from:])
	}
	b.met = met
}
