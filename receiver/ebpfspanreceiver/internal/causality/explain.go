package causality

import "slices"

// maxRefusals bounds what is said of one call.
const maxRefusals = 8

const (
	// noEvidence is said of a call of which nothing was seen but its bytes.
	noEvidence = "no_evidence"
	// recordsLost: what there is would count, had no record been lost since the request began; or nothing is there, and
	// may have been lost.
	recordsLost = "records_lost"
	endUnknown  = "end_unknown"
)

// refusals says why a call has no request: of each kind of evidence that names one what keeps it from being used, as
// "kind: reason". The reasons are those of the rules of its kind, of admit, and these:
//
//   - never_alone: the kind would say the same of a call for nobody.
//   - not_proven, refuted: it was not seen to be right in this process often enough, or was seen to be wrong.
//   - contradicted: evidence of the same rank names another request.
//   - records_lost: it might not count, had no record been lost. See gaps.go.
func (s *Solver) refusals(h *held, own *verdict) []string {
	var out []string
	refused := func(kind, reason string) {
		if said := kind + ": " + reason; len(out) < maxRefusals && !slices.Contains(out, said) {
			out = append(out, said)
		}
	}
	c := &h.call
	edges := s.edges(c)
	for i := range edges {
		e := &edges[i]
		if e.kind == next {
			refused(kinds[next].hint, s.chainRefusal(h, own))
			continue
		}
		_, _, why := s.admit(e, c, 0)
		if why == "" {
			why = s.distrust(h.process, s.sort(e, c))
		}
		refused(kinds[e.kind].hint, why)
	}
	if _, why := s.async.named(edges, c); why != "" {
		refused(kinds[asyncID].hint, why)
	}
	if len(out) == 0 {
		out = []string{noEvidence}
		if s.lostSince(c.Start) {
			out = append(out, recordsLost)
		}
	}
	return out
}

// distrust is why an edge of a sort that keeps all rules has not decided.
func (s *Solver) distrust(p *process, of sort) string {
	switch trust := of.trust(); {
	case p.trusted(of):
		return "contradicted"
	case of&1 != 0:
		return of.kind().unsure.refusal
	case trust == hint:
		return "never_alone"
	case trust == unproven:
		return "not_proven"
	}
	return "refuted"
}

// chainRefusal is why the chain with a call gives it no request.
func (s *Solver) chainRefusal(h *held, own *verdict) string {
	switch e, refusal := s.ends(h, own); {
	case refusal != "":
		return refusal
	case e.first == 0:
		return "beginning_unknown"
	case !e.closed():
		return "ends_disagree"
	}
	return "not_proven"
}
