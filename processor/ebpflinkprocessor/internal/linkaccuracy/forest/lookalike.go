package forest

// calledBack makes two calls of request at once. Who answers the first one calls back; the other one may lie
// anywhere, also within the request that came back.
func (f *Forest) calledBack(request *Span, from, to int64) {
	if request.ReqID == "" {
		request.ReqID = f.requestID()
		if request.Parent != nil {
			request.Parent.ReqID = request.ReqID
		}
	}
	call := func(of *Span, from, to int64) *Span {
		c := f.client(of, of, from, to, false)
		c.Known, c.ReqID = false, request.ReqID
		return c
	}
	answer := func(c *Span, p *Process) *Span {
		d := f.delay(c.End - c.Start)
		f.systrace++
		s := f.add(&Span{Kind: Server, Process: p, Start: c.Start + d, End: c.End - d, Parent: c, Request: f.systrace})
		f.serverID(s)
		f.takeID(s)
		return s
	}
	first := call(request, from, to)
	elsewhere := answer(first, f.other(request.Process))
	room := elsewhere.End - elsewhere.Start
	back := call(elsewhere, elsewhere.Start+f.rng.Int64N(room/3+1), elsewhere.End-f.rng.Int64N(room/3+1))
	answer(back, request.Process)
	at := from + f.rng.Int64N((to-from)/2)
	call(request, at, at+1+f.rng.Int64N(to-at))
}

// timers makes calls that belong to no request.
func (f *Forest) timers(from, to int64) {
	for _, p := range f.processes {
		for range f.Scenario.Timers {
			at := from + f.rng.Int64N(to-from)
			f.add(&Span{Kind: Client, Process: p, Start: at, End: at + 1 + f.rng.Int64N(int64(f.Scenario.Lasts)/4)})
		}
	}
}
