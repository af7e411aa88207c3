package link

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sameCalls is a request without a header as eBPF and the SDK show it, and a call that the SDK sent no header with.
func sameCalls() map[string]said {
	get := Exchange{PID: 7, Method: WordKey("GET"), Path: WordKey("/cart"), Status: StatusKey(200)}
	query := Exchange{PID: 7, System: WordKey("redis")}
	sdk := func(n byte, r Role, from, to int64, parent byte) Fact {
		f := Fact{Span: span(n), OwnTrace: trace(1), CtxTrace: trace(1), Role: r, Host: 1, Service: 5, Start: from * ms, End: to * ms}
		if parent != 0 {
			f.CtxParent = span(parent)
		}
		return f
	}
	in := func(f Fact) Fact {
		f.Service = 5
		return f
	}
	return map[string]said{
		"wire": {in(server(1, 100, systrace(9), lasts(100))), get},
		"root": {sdk(2, Server, 101, 199, 0), get},
		"call": {in(client(3, 150, systrace(9), lasts(10))), query},
		"sdk":  {sdk(4, Client, 149, 161, 2), query},
	}
}

func TestSDKSameCall(t *testing.T) {
	instances := func(m spans) {
		for name, s := range m {
			s.PID, s.Instance = 0, InstanceKey("shop-1")
			m[name] = s
		}
	}
	const otherPID = 12
	// place has the kernel's spans in a container of a pod, and the SDK's where its resource says.
	place := func(container, pod uint64) func(spans) {
		return func(m spans) {
			for name, s := range m {
				s.Container, s.Pod = 70, 80
				if !s.Raw {
					s.Host, s.PID, s.Container, s.Pod = 0, 0, container, pod
				}
				m[name] = s
			}
		}
	}
	container, pod := place(70, 0), place(0, 80)
	// beside adds the spans of another process of the pod, of both kinds or one.
	beside := func(fn func(*said), names ...string) func(spans) {
		return func(m spans) {
			for _, name := range names {
				add(name, name+"2", all(func(s *said) {
					if s.Raw {
						s.PID = otherPID
					} else {
						s.OwnTrace, s.CtxTrace = trace(2), trace(2)
					}
					if s.Systrace != 0 {
						s.Systrace++
					}
				}, fn))(m)
			}
		}
	}
	inContainer := func(n uint64) func(*said) {
		return func(s *said) {
			if s.Container != 0 {
				s.Container = n
			}
		}
	}
	const both, request, call, neither = 3, 1, 2, 0
	for name, tt := range map[string]struct {
		change func(spans)
		linked int
	}{
		"as it is":                        {all[spans](), both},
		"by instance":                     {instances, both},
		"another instance":                {all(instances, change("root", func(s *said) { s.Instance++ })), neither},
		"another service":                 {all(instances, change("root", func(s *said) { s.Service++ })), neither},
		"another process":                 {change("root", func(s *said) { s.PID++ }), neither},
		"another host":                    {change("root", func(s *said) { s.Host++ }), neither},
		"nobody says whose":               {change("root", func(s *said) { s.PID = 0 }), neither},
		"the request's method differs":    {change("root", func(s *said) { s.Method = WordKey("PUT") }), neither},
		"its path differs":                {change("root", func(s *said) { s.Path = WordKey("/") }), neither},
		"its status differs":              {change("root", func(s *said) { s.Status = StatusKey(500) }), neither},
		"it says nothing":                 {change("root", func(s *said) { s.Exchange = Exchange{PID: 7} }), neither},
		"the request had a header":        {change("wire", func(s *said) { s.CtxTrace, s.CtxParent = trace(5), span(8) }), neither},
		"the root has a parent elsewhere": {change("root", func(s *said) { s.CtxParent = span(77) }), both},
		"the request is open":             {change("wire", func(s *said) { s.Pending, s.End = true, 0 }), neither},
		"the root began before":           {change("root", func(s *said) { s.Start -= 4 * ms }), neither},
		"the root is much shorter":        {change("root", func(s *said) { s.Start += 30 * ms }), neither},
		"a bit before":                    {change("root", func(s *said) { s.Start -= 2 * ms }), both},
		"the root ended a little later":   {change("root", func(s *said) { s.End += 9 * ms }), both},
		"the root ended later":            {change("root", func(s *said) { s.End += 12 * ms }), neither},
		"another request nearly as long":  {add("wire", "wire2", all(move(9), func(s *said) { s.Systrace = 10 })), neither},
		"of another path":                 {add("wire", "wire2", func(s *said) { s.Path, s.Systrace = WordKey("/"), 10 }), both},
		"of another process":              {add("wire", "wire2", func(s *said) { s.PID, s.Systrace = 8, 10 }), both},
		"before it":                       {add("wire", "wire2", all(move(-50), func(s *said) { s.Systrace = 10 })), both},
		"another root":                    {add("root", "root2", func(s *said) { s.OwnTrace, s.CtxTrace = trace(2), trace(2) }), neither},
		"another root, shorter":           {add("root", "root2", func(s *said) { s.OwnTrace, s.CtxTrace, s.Start = trace(2), trace(2), s.Start+50*ms }), neither},
		"a child's header is known elsewhere": {all(
			add("root", "other", func(s *said) { s.OwnTrace, s.CtxTrace, s.CtxParent = trace(2), trace(2), span(50) }),
			add("wire", "other wire", func(s *said) { s.CtxTrace, s.CtxParent, s.Systrace = trace(2), span(50), 10 })), both},
		"a child's header is known nowhere": {
			add("root", "other", func(s *said) { s.OwnTrace, s.CtxTrace, s.CtxParent = trace(2), trace(2), span(50) }), neither,
		},
		// A call with the trace's header says better where it began.
		"a call says it": {add("call", "says", all(move(20), func(s *said) { s.CtxTrace, s.CtxParent = trace(1), span(66) })), both},
		"a call says something else": {all(
			add("call", "says", func(s *said) { s.CtxTrace, s.CtxParent, s.Systrace = trace(1), span(66), 10 })), neither},

		"the call's system differs":     {change("sdk", func(s *said) { s.System = WordKey("mysql") }), request},
		"the call's port differs":       {all(change("sdk", func(s *said) { s.Peer.Port = 1 }), change("call", func(s *said) { s.Peer.Port = 2 })), request},
		"its port is all that is known": {all(change("sdk", func(s *said) { s.Peer.Port, s.System = 2, 0 }), change("call", func(s *said) { s.Peer.Port = 2 })), both},
		"nothing is known":              {change("sdk", func(s *said) { s.System = 0 }), request},
		"the call has a header":         {change("call", func(s *said) { s.CtxTrace, s.CtxParent = trace(5), span(60) }), request},
		"the call outlasts the SDK's":   {change("call", func(s *said) { s.End += 5 * ms }), request},
		"the call is of another request": {all(change("call", func(s *said) { s.Systrace = 10 }),
			add("wire", "wire2", func(s *said) { s.Systrace, s.Path = 10, WordKey("/") })), request},
		"the call's request is unknown":        {change("call", func(s *said) { s.Systrace = 0 }), both},
		"the SDK's request is unknown":         {change("root", func(s *said) { s.PID = 0 }), neither},
		"neither is known":                     {all(change("root", func(s *said) { s.PID = 0 }), change("call", func(s *said) { s.Systrace = 0 })), call},
		"the call is made after the request":   {all(change("call", all(move(200), func(s *said) { s.Systrace = 0 })), change("sdk", move(200))), request},
		"the call came late":                   {change("call", func(s *said) { s.LateOf, s.Systrace = 9, 0 }), request},
		"two tries":                            {add("call", "try", all(move(5), func(s *said) { s.End = s.Start + 3*ms })), request},
		"a second call at once, of the SDK":    {add("sdk", "sdk2", func(*said) {}), request},
		"who answered names another call":      {all(change("call", func(s *said) { s.ReqSeq, s.RespSeq = 5, 6 }), answeredFor(8)), request},
		"who answered names this one":          {all(change("call", func(s *said) { s.ReqSeq, s.RespSeq = 5, 6 }), answeredFor(4)), both},
		"the call is much shorter":             {change("sdk", func(s *said) { s.End += 15 * ms }), request},
		"a second call at once":                {all(add("sdk", "sdk2", func(*said) {}), add("call", "call2", func(*said) {})), request},
		"another call, later":                  {all(add("sdk", "sdk2", move(22)), add("call", "call2", move(22))), both},
		"another's call at once, another kind": {all(add("sdk", "sdk2", func(s *said) { s.System = WordKey("mysql") }), add("call", "call2", func(s *said) { s.System = WordKey("mysql") })), both},
		"its header was seen":                  {add("call", "seen", func(s *said) { s.CtxTrace, s.CtxParent = trace(1), span(4) }), request | 4},
		"its header was seen at the other end": {add("root", "seen", func(s *said) { s.PID, s.Service, s.CtxParent = 0, 6, span(4) }), request},
		"a CLIENT span of the SDK around it":   {change("sdk", func(s *said) { s.CtxParent = span(8) }), neither | 8},
		"other requests do the same meanwhile": {otherRequests, both},

		"by container":                    {container, both},
		"by pod":                          {pod, both},
		"by container and pod":            {place(70, 80), both},
		"in another container":            {place(71, 0), neither},
		"in another container of the pod": {place(71, 80), neither},
		"in another pod":                  {place(70, 81), neither},
		"of another service":              {all(container, change("root", func(s *said) { s.Service = 6 })), both},
		"of a service that is another here": {all(container, change("root", func(s *said) { s.Service = 6 }), change("sdk", func(s *said) { s.Service = 6 }),
			add("call", "served", all(move(900), func(s *said) { s.Service = 6 }))), neither},
		"the host is another":           {all(container, change("root", func(s *said) { s.Host = 2 }), change("sdk", func(s *said) { s.Host = 2 })), neither},
		"the process id is that inside": {all(container, change("root", func(s *said) { s.Host, s.PID = 1, 1 }), change("sdk", func(s *said) { s.Host, s.PID = 1, 1 })), both},
		"and is that of a process elsewhere": {all(container, change("root", func(s *said) { s.Host, s.PID = 1, 1 }), change("sdk", func(s *said) { s.Host, s.PID = 1, 1 }),
			add("wire", "elsewhere", all(move(900), func(s *said) { s.PID, s.Container, s.Pod, s.Systrace = 1, 90, 91, 20 }))), both},
		"it is that of another process here": {all(container, change("root", func(s *said) { s.Host, s.PID = 1, 1 }), change("sdk", func(s *said) { s.Host, s.PID = 1, 1 }),
			add("wire", "here", all(move(900), func(s *said) { s.PID, s.Systrace = 1, 20 }))), neither},
		"so is the instance": {all(container, change("root", func(s *said) { s.Instance = 5 }), change("sdk", func(s *said) { s.Instance = 5 }),
			add("wire", "here", all(move(900), func(s *said) { s.PID, s.Systrace, s.Instance = otherPID, 20, 5 }))), neither},
		"the process id contradicts the container":  {all(place(70, 0), change("root", func(s *said) { s.Host, s.PID, s.Container = 1, 7, 71 })), neither},
		"another process at once":                   {all(container, beside(func(*said) {}, "wire", "root", "call", "sdk")), neither},
		"another process, the SDK's lost":           {all(container, beside(func(*said) {}, "wire", "call")), neither},
		"another process, eBPF's lost":              {all(container, beside(func(*said) {}, "root", "sdk")), neither},
		"another process, another path":             {all(container, beside(func(s *said) { s.Path, s.System = s.Path*2, s.System*2 }, "wire", "root", "call", "sdk")), both},
		"another process, later":                    {all(container, beside(move(900), "wire", "root", "call", "sdk")), both},
		"another container of the pod":              {all(pod, beside(inContainer(71), "wire", "root", "call", "sdk")), neither},
		"another container, SDKs say theirs":        {all(container, beside(inContainer(71), "wire", "root", "call", "sdk")), both},
		"one of the pod says no container":          {all(container, beside(func(s *said) { s.Container, s.Pod = 0, 80 }, "root", "sdk")), neither},
		"one names its process":                     {all(container, beside(func(s *said) { s.Host, s.PID = 1, otherPID }, "wire", "root", "call", "sdk")), neither},
		"one names its process, whose own are lost": {all(container, beside(func(s *said) { s.Host, s.PID = 1, otherPID }, "root", "sdk"), beside(move(900), "wire")), both},
		"more containers than are looked at":        {all(pod, crowded), neither},
	} {
		t.Run(name, func(t *testing.T) {
			m := sameCalls()
			tt.change(m)
			want := tt.linked
			if want == 0|8 {
				// around it a CLIENT span of the SDK, whose parent is the root
				s := m["sdk"]
				s.Span, s.CtxParent, s.Start, s.End = span(8), span(2), s.Start-ms, s.End+ms
				m["around"] = s
				want = both
			}
			for range 3 {
				x := New(RuleNames(), 500*time.Millisecond)
				ids := map[string]ID{}
				for n := range m { // in any order
					ids[n] = x.AddRare(m[n].Fact, Rare{Exchange: m[n].Exchange})
				}
				got := 0
				for bit, pair := range [][2]string{{"root", "wire"}, {"call", "sdk"}} {
					e := x.Resolve(ids[pair[0]])
					if e.Parent != ids[pair[1]] {
						require.False(t, e.Outcome == Linked && e.Rule == SDKSameCall)
						continue
					}
					got |= 1 << bit
					found := false
					x.Referrers(ids[pair[1]], func(id ID) bool {
						found = found || id == ids[pair[0]]
						return true
					})
					require.True(t, found, "the way down finds what the way up does")
					if e.Rule == SDKSameCall {
						require.InDelta(t, SameCallConfidence, e.Confidence, 1e-6)
					} else {
						require.Equal(t, AppContext, e.Rule)
						require.Contains(t, []string{"a call says it", "its header was seen"}, name)
					}
				}
				if want&4 != 0 {
					want = request
				}
				require.Equal(t, want, got)
			}
		})
	}
}

// crowded adds other containers of the pod.
func crowded(m spans) {
	for i := range uint64(maxSites) {
		add("call", "call"+string(rune('a'+i)), all(move(900), func(s *said) { s.Span[1], s.Container = byte(i), 100+i }))(m)
	}
}

// answeredFor adds the request that the call came to, and the SDK's span of that, which names another span.
func answeredFor(named byte) func(map[string]said) {
	return func(m map[string]said) {
		words := Exchange{PID: 70, System: WordKey("redis")}
		s := server(40, 151, seq(5, 6), systrace(77), lasts(8), host(2))
		k := sdk(41, Server, 152, 1, named)
		k.Host, k.End = 2, 158*ms
		m["answer"], m["answered"] = said{s, words}, said{k, words}
	}
}

// otherRequests of other paths make calls of the same kind at the same time: whose request a call is of tells them
// apart.
func otherRequests(m map[string]said) {
	for i := range byte(5) {
		for name, s := range sameCalls() {
			s.Span[1] = i + 1
			if s.Systrace != 0 {
				s.Systrace += 100 + uint64(i)
			}
			if s.OwnTrace == trace(1) {
				s.OwnTrace, s.CtxTrace = trace(50+i), trace(50+i)
				if s.CtxParent != (SpanID{}) {
					s.CtxParent[1] = i + 1
				}
			}
			if s.Path != 0 {
				s.Path = WordKey(string(rune('a' + i)))
			}
			m[name+string(rune('a'+i))] = s
		}
	}
}

// TestSDKSameCallAtBoundedCost: many spans of one process at once cost no more each than few.
func TestSDKSameCallAtBoundedCost(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	x := New(RuleNames(), 500*time.Millisecond)
	var calls []ID
	for i := range 20_000 {
		for _, name := range []string{"wire", "root", "call", "sdk"} {
			s := sameCalls()[name]
			s.Span[1], s.Span[2], s.Span[3] = byte(i), byte(i>>8), name[0]
			s.OwnTrace[1], s.OwnTrace[2] = byte(i), byte(i>>8)
			if !s.Raw {
				s.CtxTrace = s.OwnTrace
			}
			s.Systrace = 0
			s.Start += rng.Int64N(ms)
			id := x.AddRare(s.Fact, Rare{Exchange: s.Exchange})
			if name == "call" || name == "root" {
				calls = append(calls, id)
			}
		}
	}
	before := x.Looks()
	for _, id := range calls[:1000] {
		require.Equal(t, None, x.Resolve(id).Parent)
	}
	require.Less(t, x.Looks()-before, 1000*2*maxSameCall)
}
