package forest

// mark says of which edges an exact rule speaks.
func (f *Forest) mark() {
	keys := f.Scenario.Keys
	for _, s := range f.Spans {
		if s.Parent == nil {
			continue
		}
		switch {
		case s.SDK:
			// A root of an SDK behind a header that was not passed on states nothing.
			s.Exact = s.CtxParent != [8]byte{} && !s.Parent.Missed
		case s.Kind == Server:
			// Without the answer's number the ports have to agree, which a gateway changes.
			s.Exact = keys&Seqs != 0 && !s.twinned && !s.Parent.hidden && (!s.NoAnswer || (keys&Addresses != 0 && !f.Scenario.NAT))
		case s.Parent.SDK:
			s.Exact = !s.Bare && !s.Missed
		default:
			s.Exact = s.Known || keys&Lineage != 0
		}
	}
}
