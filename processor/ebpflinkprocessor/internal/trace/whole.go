package trace

import "github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"

// maxProof bounds the work of one Whole; a larger trace waits for the window.
const maxProof = 1024

// Whole says whether it is certain that no further span belongs to the trace of root, and that what came
// decides alike what it would decide at the end of the window. What must hold of each span:
//
//   - it is a raw span, and no header named a span of an SDK: nobody knows how many spans an SDK still sends;
//   - the root refers to no parent, or to one at a peer that is not traced;
//   - every other span has a parent that nothing can change any more;
//   - a request says how many calls it made, and they are here;
//   - a call has its request at the other end, or its peer is not traced.
func (b *Book) Whole(root link.ID) bool {
	if !b.ix.Rootless(root) {
		return false
	}
	b.round++
	b.visit(root)
	todo := append(b.proof[:0], root)
	for i := 0; i < len(todo); i++ {
		id := todo[i]
		f := b.ix.View(id)
		if b.entries.At(id).state == released || b.entries.At(id).fate != 0 || !known(f) || !b.ix.Closed(id) {
			return false
		}
		certain := true
		calls, served, met := 0, 0, 0
		b.ix.Referrers(id, func(r link.ID) bool {
			if b.entries.At(r).seen == b.round {
				return true
			}
			e, final := b.ix.Final(r)
			if met++; !final || met > maxProof || len(todo) == maxProof {
				certain = false
				return false
			}
			if e.Parent != id {
				return true
			}
			b.visit(r)
			todo = append(todo, r)
			switch b.ix.View(r).Role {
			case link.Client:
				calls++
			case link.Server:
				served++
			default:
				certain = false
			}
			return certain
		})
		b.proof = todo[:0]
		switch {
		case !certain:
			return false
		case f.Role == link.Server && (served != 0 || calls != int(f.Calls)-1):
			return false
		case f.Role == link.Client && (calls != 0 || served > 1 || (served == 0 && !f.Peer().Untraced)):
			return false
		}
	}
	return true
}

// known: whatever may have to do with f, its host would have said.
func known(f link.View) bool {
	return f.Raw && !f.Pending && f.Role != link.Other && f.LateOf == 0 &&
		f.CtxTrace == link.TraceID{} && f.CtxParent == link.SpanID{}
}
