package link

import (
	"math/rand/v2"
	"slices"
	"time"
)

// situation is made of few values for everything, so that keys collide, contradict and close cycles. Half of its spans
// are kin of others: the other end, another try, what an SDK shows of the same, a call of it, each with a fault at times.
type situation struct {
	rng *rand.Rand
	// where chooses containers.
	where *rand.Rand
	spans []seen
	// made is how many spans there have been, with those that were lost.
	made  int
	hosts uint64
	// ahead is how far the clock of each host is.
	ahead     []int64
	tolerance time.Duration
	// limits are those of rules, where they are not the default ones.
	limits map[string]int
	// step is how coarse the clocks are.
	step int64
	// few is how many values there are of what is not to collide that often, and shared of threads and request ids.
	few, shared int
	// lasts is how long it all takes.
	lasts int64
	// pids is how many processes a host has, with that which is not known.
	pids uint32
	// Of ten times so many a story is told. Of ten spans so many have a header, an x-request-id, and words of their exchange.
	stories, headers, ids, words int
	// places is how many containers there are, two in a pod, with none for what runs in none.
	places uint64
}

func newSituation(rng *rand.Rand) *situation { return newSituationIn(rng, rng) }

// newSituationIn is newSituation with containers that another generator chooses.
func newSituationIn(rng, where *rand.Rand) *situation {
	s := &situation{
		rng: rng, where: where, hosts: 1 + rng.Uint64N(4), tolerance: apart, step: 1, stories: 3, pids: 3, few: []int{5, 12, 60}[rng.IntN(3)], lasts: 300 * ms,
		headers: []int{0, 1, 3, 5}[rng.IntN(4)], ids: []int{0, 4, 9}[rng.IntN(3)], words: []int{0, 4, 9}[rng.IntN(3)],
	}
	s.shared = s.few
	s.places = []uint64{0, 2, 4, 4}[where.IntN(4)]
	if rng.IntN(3) == 0 {
		s.step = ms
	}
	s.ahead = make([]int64, s.hosts+1)
	if rng.IntN(2) == 0 {
		s.tolerance = []time.Duration{20 * time.Millisecond, 500 * time.Millisecond}[rng.IntN(2)]
		for i := range s.ahead {
			s.ahead[i] = []int64{0, 0, 5 * ms, 700 * ms, -4000 * ms, 25_000 * ms}[rng.IntN(6)]
		}
	}
	return s
}

// limit gives some rules limits that some keys exceed.
func (s *situation) limit() {
	s.limits = map[string]int{}
	for _, rule := range []string{TCPSeq, Systrace, PseudoThread, XRequestID} {
		if s.of10(2) {
			s.limits[rule] = 1 + s.rng.IntN(3)
		}
	}
}

// newCrowd is a situation of few threads, request ids and processes, which many spans have one after the other.
func newCrowd(rng *rand.Rand) *situation {
	s := newSituationIn(rng, rand.New(rand.NewPCG(1, 11)))
	s.places = 2
	s.few, s.shared, s.pids, s.lasts, s.hosts = 10_000, 1, 2, int64(20*time.Second), min(s.hosts, 2)
	s.headers, s.ids, s.tolerance = 0, 4, []time.Duration{20 * time.Millisecond, 500 * time.Millisecond}[rng.IntN(2)]
	s.stories = 1
	return s
}

// fill adds n spans.
func (s *situation) fill(n int) {
	if s.tolerance != apart {
		// Three calls prove what clocks show, one does so around a circle of hosts.
		calls := []int{0, 1, 1, 3, 6}[s.rng.IntN(5)]
		for a := uint64(1); a <= s.hosts; a++ {
			for b := uint64(1); b <= s.hosts; b++ {
				if a < b || (a != b && s.of10(3)) {
					s.tellTime(a, b, max(0, calls-s.rng.IntN(8)/7))
				}
			}
		}
	}
	for n += len(s.spans); len(s.spans) < n; {
		if s.of10(s.stories) {
			s.story()
			continue
		}
		f := s.fresh()
		if len(s.spans) > 0 && s.rng.IntN(4) > 0 {
			f = s.kin(s.spans[s.rng.IntN(len(s.spans))], f)
		}
		s.spans = append(s.spans, f)
	}
}

// tellTime adds calls that are nobody else's between two hosts. At times the clock of one of them steps back and forth.
func (s *situation) tellTime(from, to uint64, n int) {
	steps := s.of10(2)
	for i := range n {
		c := s.fresh()
		c = seen{Fact: Fact{Span: c.Span, OwnTrace: c.OwnTrace, Raw: true, Role: Client, Host: from, Start: c.Start, End: c.End}}
		c.ReqSeq, c.RespSeq = uint32(1000+len(s.spans)), 1000
		c.Start = s.time(s.rng.Int64N(s.lasts), from)
		c.End = c.Start + s.length()
		s.spans = append(s.spans, c)
		e := c
		e.Span, e.Role = s.id(), Server
		s.put(&e, to)
		if s.of10(9) {
			e.Start, e.End = e.Start+s.rng.Int64N(ms), max(e.Start, e.End-s.rng.Int64N(ms))
		} else {
			s.shrink(&e)
		}
		if steps && i%2 == 0 {
			e.Start, e.End = e.Start+900*ms, e.End+900*ms
		}
		s.spans = append(s.spans, e)
	}
}

func (s *situation) id() SpanID {
	s.made++
	return SpanID{6: byte(s.made >> 8), 7: byte(s.made)}
}

// time is what the clock of a host shows.
func (s *situation) time(at int64, host uint64) int64 { return (at + s.ahead[host]) / s.step * s.step }

// length of an exchange: as often short as long.
func (s *situation) length() int64 {
	return s.rng.Int64N([]int64{20 * ms, 300 * ms}[s.rng.IntN(2)]) / s.step * s.step
}

// put moves f to the clock of another host.
func (s *situation) put(f *seen, host uint64) {
	by := s.ahead[host] - s.ahead[f.Host]
	f.Host = host
	f.Start, f.End = f.Start+by, f.End+by
}

// edge is what lies between the beginnings, or the ends, of two spans of one exchange.
func (s *situation) edge() int64 {
	return s.rng.Int64N([]int64{1, ms / 2, 3 * ms, 12 * ms, 40 * ms}[s.rng.IntN(5)]) / s.step * s.step
}

func (s *situation) shrink(f *seen) { f.Start, f.End = f.Start+s.edge(), max(f.Start, f.End-s.edge()) }
func (s *situation) grow(f *seen)   { f.Start, f.End = f.Start-s.edge(), f.End+s.edge() }

// header is one that names a span which is here, or will be, most of the time.
func (s *situation) header() (TraceID, SpanID) {
	to := s.rng.IntN(len(s.spans) + 2)
	if to < len(s.spans) {
		return s.spans[to].OwnTrace, s.spans[to].Span
	}
	return TraceID{0: 9, 15: byte(to % 3)}, SpanID{7: byte(to + 1)}
}

func (s *situation) of10(n int) bool { return s.rng.IntN(10) < n }

// number is unknown at times.
func (s *situation) number() uint32 { return s.oneOf(s.few) }

func (s *situation) sharedNumber() uint64 { return uint64(s.oneOf(s.shared)) }

func (s *situation) oneOf(n int) uint32 {
	if s.of10(2) {
		return 0
	}
	return 1 + s.rng.Uint32N(uint32(n))
}

// host is unknown at times.
func (s *situation) host() uint64 {
	if s.of10(1) {
		return 0
	}
	return 1 + s.rng.Uint64N(s.hosts)
}

func (s *situation) fresh() seen {
	rng := s.rng
	var f seen
	f.Span, f.OwnTrace, f.Role, f.Raw = s.id(), TraceID{0: 9, 15: byte(len(s.spans) % 3)}, Role(1+rng.IntN(2)), rng.IntN(5) > 0
	f.Service, f.Host = rng.Uint32N(3), s.host()
	f.Start = s.time(rng.Int64N(s.lasts), f.Host)
	f.End = f.Start + s.length()
	if rng.IntN(10) == 0 {
		f.Role = Other
	}
	if s.of10(s.headers) {
		f.CtxTrace, f.CtxParent = s.header()
	}
	if s.of10(s.words) {
		f.Exchange = Exchange{PID: rng.Uint32N(s.pids), Instance: rng.Uint32N(3)}
		s.settle(&f)
		f.Exchange.Method, f.Exchange.System = uint8(rng.IntN(3)), uint8(rng.IntN(2))
		f.Exchange.Path, f.Exchange.Status = uint8(rng.IntN(3)), uint8(rng.IntN(2))
	}
	if !f.Raw {
		s.ofSDK(&f)
		return f
	}
	f.ReqSeq, f.RespSeq = s.number(), rng.Uint32N(4)
	f.Systrace, f.Pseudo = uint64(s.number()), s.sharedNumber()
	if s.of10(s.ids) {
		f.RequestID, f.ResponseID = s.sharedNumber(), s.sharedNumber()
	}
	s.inProcess(&f)
	client := Endpoint{Addr: rng.Uint32N(3), Port: uint16(rng.IntN(3))}
	server := Endpoint{Addr: rng.Uint32N(3), Port: uint16(rng.IntN(3))}
	f.Local, f.Peer = client, server
	if f.Role == Server {
		f.Local, f.Peer = server, client
	}
	if rng.IntN(8) == 0 {
		f.Pending, f.End, f.RespSeq, f.ResponseID = true, 0, 0, 0
	}
	if f.Role == Client && rng.IntN(20) == 0 {
		f.LateOf, f.Systrace, f.Pseudo = 1, 0, 0
	}
	return f
}

// settle puts f into a container of a pod, or says nothing of it.
func (s *situation) settle(f *seen) {
	if f.Exchange.Container, f.Exchange.Pod = 0, 0; s.places > 0 {
		f.Exchange.Container = s.where.Uint64N(s.places)
		f.Exchange.Pod = f.Exchange.Container / 2
	}
}

// contain makes the other of an SDK's and a raw span of one process, as they come of a container.
func (s *situation) contain(f *seen) { s.container()(f) }

// container is how SDKs of a container say who they are: what is asked of the kernel is not what it says outside, and who
// adds what of container and pod depends.
func (s *situation) container() func(*seen) {
	var drop [5]bool
	for i := range drop {
		drop[i] = s.where.IntN(10) < []int{7, 7, 3, 3, 5}[i]
	}
	return func(f *seen) {
		e := &f.Exchange
		if e.Container|e.Pod == 0 || s.places == 0 {
			return
		}
		if drop[0] {
			e.PID = 0
		}
		if drop[1] {
			e.Instance = 0
		}
		if drop[2] {
			e.Container = 0
		} else if drop[3] {
			e.Pod = 0
		}
		if drop[4] && !f.Raw {
			f.Host = 0
		}
	}
}

// inProcess: an Index keeps the process of those spans only that an x-request-id was seen on.
func (s *situation) inProcess(f *seen) {
	if f.Process = 0; f.RequestID|f.ResponseID != 0 && !s.of10(1) {
		f.Process = 1 + s.rng.Uint64N(3)
	}
}

// ofSDK makes f what an SDK shows: its trace is that of its parent.
func (s *situation) ofSDK(f *seen) {
	f.Raw, f.Pending, f.ReqSeq, f.RespSeq, f.Systrace, f.Pseudo, f.LateOf = false, false, 0, 0, 0, 0, 0
	f.RequestID, f.ResponseID, f.Process, f.Local = 0, 0, 0, Endpoint{}
	f.End = max(f.Start, f.End)
	if f.CtxTrace == (TraceID{}) {
		f.CtxTrace = TraceID{0: 9, 15: byte(s.rng.IntN(5))}
	}
	f.OwnTrace = f.CtxTrace
}

// kin makes of a span another one that has to do with it, and has some of what other has.
func (s *situation) kin(of, other seen) seen {
	rng := s.rng
	f := of
	f.Span, f.OwnTrace = other.Span, other.OwnTrace
	switch rng.IntN(6) {
	case 0: // the other end
		if !f.Raw || f.Role == Other {
			return other
		}
		f.Role, f.Local, f.Peer = Client+Server-of.Role, of.Peer, of.Local
		f.Service, f.Systrace, f.Pseudo, f.LateOf = other.Service, other.Systrace, other.Pseudo, 0
		f.Exchange.PID, f.Exchange.Instance = other.Exchange.PID, other.Exchange.Instance
		f.Exchange.Container, f.Exchange.Pod = other.Exchange.Container, other.Exchange.Pod
		if f.Role == Server {
			s.shrink(&f)
		} else {
			s.grow(&f)
		}
		s.put(&f, s.host())
		s.inProcess(&f)
		if rng.IntN(3) == 0 { // through what is not captured
			f.ReqSeq, f.RespSeq = other.ReqSeq, other.RespSeq
			f.Local, f.Peer = other.Local, other.Peer
		}
	case 1: // what the SDK shows of it
		if !f.Raw || f.Role == Other {
			return other
		}
		s.ofSDK(&f)
		if f.Role == Server {
			s.shrink(&f)
		} else {
			s.grow(&f)
		}
		s.contain(&f)
		if header(&of) {
			break
		}
		f.OwnTrace, f.CtxTrace, f.CtxParent = s.trace(), TraceID{}, SpanID{}
		f.CtxTrace = f.OwnTrace
		if rng.IntN(2) == 0 || f.Role == Client {
			f.CtxTrace, f.CtxParent = s.header()
			f.OwnTrace = f.CtxTrace
		}
	case 2: // what the kernel shows of it
		if f.Raw || f.Role == Other || !other.Raw {
			return other
		}
		f.Raw, f.Systrace, f.ReqSeq, f.RespSeq = true, other.Systrace, other.ReqSeq, other.RespSeq
		s.contain(&f)
		if f.Role == Client {
			s.shrink(&f)
		} else {
			s.grow(&f)
		}
		if rng.IntN(3) > 0 {
			f.CtxTrace, f.CtxParent = TraceID{}, SpanID{}
		}
		s.inProcess(&f)
	case 3: // a call of it, or another one
		if !f.Raw || f.Role == Other {
			return other
		}
		f.Role, f.ReqSeq, f.RespSeq = Client, other.ReqSeq, other.RespSeq
		f.Local, f.Peer = other.Local, other.Peer
		if of.Role == Client {
			f.Start, f.End = f.Start+s.edge(), f.End+s.edge()
		} else {
			s.shrink(&f)
		}
		switch rng.IntN(4) {
		case 0: // with a header of the SDK
			f.CtxTrace, f.CtxParent = s.header()
		case 1:
			f.Systrace, f.Pseudo = 0, 0
		}
		f.Exchange.Method, f.Exchange.Path = other.Exchange.Method, other.Exchange.Path
	case 4: // another try of it
		f.Start, f.End = f.Start+s.edge(), f.End+s.edge()
		f.ReqSeq, f.Local, f.Peer = other.ReqSeq, other.Local, other.Peer
		if !f.Raw {
			f.OwnTrace = f.CtxTrace
		}
	default: // what the SDK does for it
		if other.Role == Other && rng.IntN(2) == 0 {
			other.Role = Client
		}
		f.Role, f.CtxTrace, f.CtxParent = other.Role, of.OwnTrace, of.Span
		s.ofSDK(&f)
		s.shrink(&f)
	}
	s.err(&f, &other)
	if f.Pending {
		f.End, f.RespSeq, f.ResponseID = 0, 0, 0
	}
	return f
}

// trace is a new one.
func (s *situation) trace() TraceID { return TraceID{0: 8, 14: byte(s.made >> 8), 15: byte(s.made)} }

// story adds spans as they come of one request, but for those that are lost, and with a fault at times.
func (s *situation) story() {
	n := len(s.spans)
	switch s.rng.IntN(3) {
	case 0:
		s.relayed()
	case 1:
		s.proxied()
	default:
		s.traced()
	}
	s.spans = append(s.spans[:n], slices.DeleteFunc(s.spans[n:], func(seen) bool { return s.of10(1) })...)
	for i := range s.spans[n:] {
		if f := &s.spans[n+i]; s.of10(2) {
			other := s.fresh()
			s.err(f, &other)
		}
	}
}

// within makes a raw span inside another one, on the clock of that host, but for so much at either end.
func (s *situation) within(outer seen, role Role, host uint64, edge int64) seen {
	f := outer
	f.Fact = Fact{Span: s.id(), OwnTrace: s.trace(), Raw: true, Role: role, Host: outer.Host, Start: outer.Start, End: outer.End}
	f.Start += s.rng.Int64N(edge) / s.step * s.step
	f.End = max(f.Start, f.End-s.rng.Int64N(edge)/s.step*s.step)
	s.put(&f, host)
	f.RespSeq = 1 + s.rng.Uint32N(3)
	return f
}

func (s *situation) someHost() uint64 { return 1 + s.rng.Uint64N(s.hosts) }

// answer gives f an id that comes back with the response, at times.
func (s *situation) answer(f *seen) {
	if s.of10(2) {
		f.ResponseID = 1 + s.rng.Uint64N(6)
	}
}

// relayed is a request that goes from process to process with its id, through what is not captured.
func (s *situation) relayed() {
	var f seen
	f.Host = s.someHost()
	f.Start = s.time(s.rng.Int64N(s.lasts), f.Host)
	f.End = f.Start + 50*ms
	f.RequestID = 1 + s.rng.Uint64N(uint64(min(4, s.shared)))
	f.Process = 1 + s.rng.Uint64N(4)
	for range 2 + s.rng.IntN(3) {
		s.answer(&f)
		f = s.within(f, Server, f.Host, 4*ms)
		s.spans = append(s.spans, f)
		for range 1 + s.rng.IntN(2)*s.rng.IntN(2) {
			f = s.within(f, Client, f.Host, 4*ms)
			s.spans = append(s.spans, f)
		}
		s.put(&f, s.host())
		f.Process = s.rng.Uint64N(5)
	}
}

// proxied is a service whose proxy sees its request, and its call, come in and go out.
func (s *situation) proxied() {
	var f seen
	f.Host = s.someHost()
	f.Start = s.time(s.rng.Int64N(s.lasts), f.Host)
	f.End = f.Start + 50*ms
	f.RequestID, f.Process = 1+s.rng.Uint64N(uint64(min(4, s.shared))), 1+s.rng.Uint64N(2)
	for n := range uint32(2) {
		s.answer(&f)
		f = s.within(f, Server, f.Host, 4*ms)
		f.Peer.Addr = n + 1
		if s.of10(3) {
			// Where all have one address the calls tell where they came from.
			f.Peer.Addr, f.ReqSeq = 0, 100+s.rng.Uint32N(50)
			c := s.within(f, Client, f.Host, 1)
			c.ReqSeq, c.RespSeq, c.Process = f.ReqSeq, f.RespSeq, uint64(7+n)
			s.spans = append(s.spans, c)
		}
		s.spans = append(s.spans, f)
		f = s.within(f, Client, f.Host, []int64{ms / 2, ms / 2, 3 * ms}[s.rng.IntN(3)])
		s.spans = append(s.spans, f)
		if s.of10(2) {
			again := s.within(f, Client, f.Host, 3*ms)
			s.spans = append(s.spans, again)
		}
	}
}

// traced is a request that an SDK shows, too, with a call that leads to another one, all of which headers name, or some,
// or none.
func (s *situation) traced() {
	var in, up seen
	in.Host = s.someHost()
	in.Start = s.time(s.rng.Int64N(s.lasts), in.Host)
	in.End = in.Start + 60*ms
	seenAt := []int{0, 0, 3, 10}[s.rng.IntN(4)]
	contained := s.container()
	t := s.trace()
	sdk := func(role Role, of seen, parent seen) seen {
		f := of
		f.Span, f.Role, f.OwnTrace, f.CtxTrace, f.CtxParent = s.id(), role, t, t, parent.Span
		f.Raw, f.ReqSeq, f.RespSeq, f.Systrace = false, 0, 0, 0
		contained(&f)
		return f
	}
	for range 2 {
		words := Exchange{Method: uint8(1 + s.rng.IntN(2)), Path: uint8(s.rng.IntN(3)), PID: s.rng.Uint32N(s.pids), Instance: s.rng.Uint32N(3)}
		service := s.rng.Uint32N(3)
		in.Exchange, in.Service = words, service
		s.settle(&in)
		request := s.within(in, Server, in.Host, 1)
		request.ReqSeq, request.RespSeq, request.Systrace = in.ReqSeq, in.RespSeq, uint64(100+s.made)
		request.Service = service
		if up.Span != (SpanID{}) && s.of10(seenAt) {
			request.CtxTrace, request.CtxParent = t, up.Span
		}
		own := sdk(Server, s.within(request, Server, request.Host, 2*ms), up)
		own.Service = service
		around := sdk(Client, s.within(own, Client, own.Host, 4*ms), own)
		around.Service = service
		if s.of10(1) { // once it has answered
			around.Start, around.End = around.Start+50*ms, around.End+50*ms
		}
		call := s.within(around, Client, around.Host, 2*ms)
		call.Service = service
		call.ReqSeq, call.RespSeq = uint32(100+s.made), 1+s.rng.Uint32N(2)
		switch {
		case s.of10(7):
			call.Systrace = request.Systrace
		case s.of10(5):
			request.Pseudo, call.Pseudo = uint64(100+s.made), uint64(100+s.made)
		}
		if s.of10(seenAt) {
			call.CtxTrace, call.CtxParent = t, around.Span
		}
		s.spans = append(s.spans, request, own, around, call)
		if s.of10(1) { // of another trace
			queued := s.within(own, Client, own.Host, 4*ms)
			queued.Service, queued.Systrace = service, request.Systrace
			queued.CtxTrace, queued.CtxParent = s.header()
			s.spans = append(s.spans, queued)
		}
		if s.of10(3) {
			s.spans = append(s.spans, sdk(Client, s.within(around, Client, around.Host, 4*ms), around))
		}
		up, in = around, s.within(call, Server, s.someHost(), 2*ms)
		in.ReqSeq, in.RespSeq = call.ReqSeq, call.RespSeq
		if s.of10(2) { // through a proxy beside the caller
			in.Process = 0
			proxy := s.within(call, Server, call.Host, 2)
			proxy.ReqSeq, proxy.RespSeq, proxy.Systrace = call.ReqSeq, call.RespSeq, uint64(100+s.made)
			out := s.within(proxy, Client, proxy.Host, 2)
			out.ReqSeq, out.RespSeq, out.Systrace = uint32(100+s.made), 2, proxy.Systrace
			out.Exchange.PID, out.Exchange.Instance = 3, 0
			if s.where.IntN(2) == 0 { // in a container of its own, perhaps in the same pod
				s.settle(&out)
			}
			proxy.Exchange = out.Exchange
			s.spans = append(s.spans, proxy, out)
			in = s.within(out, Server, s.someHost(), 2*ms)
			in.ReqSeq, in.RespSeq = out.ReqSeq, out.RespSeq
		}
	}
}

// err gives f something of another span, at times.
func (s *situation) err(f, other *seen) {
	switch s.rng.IntN(24) {
	case 0:
		f.Host = other.Host
	case 1:
		f.Service = other.Service
	case 2:
		f.Start, f.End = other.Start, max(other.Start, other.End)
	case 3:
		f.Exchange = other.Exchange
	case 4:
		f.Peer = other.Peer
	case 5:
		if f.Raw && other.Raw {
			f.RequestID, f.ResponseID = other.RequestID, other.ResponseID
			s.inProcess(f)
		}
	case 7:
		f.Exchange.Container, f.Exchange.Pod = other.Exchange.Container, other.Exchange.Pod
	case 6:
		if f.Raw && other.Raw {
			f.CtxTrace, f.CtxParent = other.CtxTrace, other.CtxParent
		}
	}
}
