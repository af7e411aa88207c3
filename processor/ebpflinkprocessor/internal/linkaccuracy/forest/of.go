package forest

import "math/rand/v2"

// Of is traffic written down span by span: each with its process, kind, times, contexts and parent. The
// rest is filled in where it is missing: ids, a connection of its own, numbers and addresses; the spans
// arrive in the order given, at their end.
func Of(sc Scenario, spans ...*Span) *Forest {
	f := &Forest{Scenario: sc, rng: rand.New(rand.NewPCG(1, 1)), systrace: 1 << 60}
	known := map[*Process]bool{}
	for _, s := range spans {
		s.Start += Epoch.UnixNano()
		s.End += Epoch.UnixNano()
		if s.Kind == Server && s.Request == 0 {
			f.systrace++
			s.Request = f.systrace
		}
		if !known[s.Process] {
			known[s.Process] = true
			f.processes = append(f.processes, s.Process)
		}
		f.add(s)
	}
	// No one else sends anything.
	f.outside = &Process{Host: &Host{Name: "outside"}}
	for i, s := range spans {
		if s.SDK {
			continue
		}
		if s.Conn == 0 {
			s.Conn = 1000 + i
		}
		if s.ReqSeq == 0 {
			s.ReqSeq, s.RespSeq = f.rng.Uint32()|1, f.rng.Uint32()|1
		}
		if s.Kind == Server {
			f.serverID(s)
			continue
		}
		f.randomID(s)
		if s.Known && s.Parent != nil {
			s.Request = s.Parent.Request
		}
	}
	f.mark()
	for _, s := range spans {
		f.Delivery = append(f.Delivery, Arriving{Span: s, At: s.End})
	}
	return f
}

// Thread is a Context of its own.
func Thread(id uint64) Context { return thread(id) }
