package link

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hiddenHeader is a call with a header that eBPF did not see at either end: the SDK's CLIENT span and the eBPF one of
// the caller, the eBPF SERVER span and the SDK's of the callee.
func hiddenHeader() map[string]said {
	get := Exchange{PID: 7, Method: WordKey("GET"), Path: WordKey("/cart"), Status: StatusKey(200)}
	calling := get
	calling.PID = 3
	of := func(service uint32, host uint64, f Fact) Fact {
		f.Service, f.Host = service, host
		return f
	}
	outer := sdk(20, Client, 99, 1, 19)
	outer.End = 202 * ms
	inner := sdk(2, Server, 102, 1, 20)
	inner.End = 199 * ms
	return map[string]said{
		"named": {of(8, 2, outer), calling},
		"call":  {of(8, 2, client(10, 100, seq(10, 20), ports(900, 80), systrace(4), lasts(101))), calling},
		"wire":  {of(5, 1, server(11, 101, seq(10, 20), ports(80, 900), systrace(9), lasts(99))), get},
		"own":   {of(5, 1, inner), get},
	}
}

// TestSDKStated: the SDK's SERVER span goes under the eBPF span of its call where it does not lose its parent by that.
func TestSDKStated(t *testing.T) {
	instances := func(m spans) {
		for name, s := range m {
			s.Instance, s.PID = s.PID, 0
			m[name] = s
		}
	}
	carry := func(s *said) { s.CtxTrace, s.CtxParent = trace(1), span(20) }
	nameless := func(s *said) { s.PID = 0 }
	type want struct {
		own, wire, call string
		rule            string
		inherits        bool
	}
	const one, other = AppContext, SDKSameCall
	joined := want{own: "wire", wire: "call", call: "", rule: other}
	stays := want{own: "named", wire: "call", rule: one}
	for name, tt := range map[string]struct {
		change func(spans)
		want   want
	}{
		"nobody saw the header":           {all[spans](), joined},
		"by instance":                     {instances, joined},
		"another process":                 {change("own", func(s *said) { s.PID++ }), stays},
		"its process is not known":        {change("own", nameless), stays},
		"another path":                    {change("own", func(s *said) { s.Path++ }), stays},
		"the call is of another process":  {change("call", func(s *said) { s.PID++ }), stays},
		"the caller's is not known":       {change("named", nameless), stays},
		"it called something else":        {change("named", func(s *said) { s.Path++ }), stays},
		"it called another port":          {change("named", func(s *said) { s.Peer.Port = 81 }), stays},
		"it is over before the call":      {change("named", func(s *said) { s.End = s.Start + 50*ms }), stays},
		"the call has another header":     {change("call", func(s *said) { s.CtxTrace, s.CtxParent = trace(3), span(9) }), stays},
		"two requests alike":              {add("wire", "twin", func(s *said) { s.Systrace, s.ReqSeq = 10, 11 }), stays},
		"two spans of the SDK alike":      {add("own", "twin", func(s *said) { s.OwnTrace, s.CtxTrace = trace(4), trace(4) }), stays},
		"two calls with these numbers":    {add("call", "twin", func(s *said) { s.Host = 3 }), want{own: "wire", wire: "named", rule: other}},
		"the request had a header":        {change("wire", func(s *said) { s.CtxTrace, s.CtxParent = trace(3), span(9) }), stays},
		"what it names is not here":       {without("named"), want{own: "", wire: "call"}},
		"nor the call, and it names none": {without("named", "call"), want{own: "wire", rule: other, inherits: true}},
		"nor the call, two alike": {
			all(without("named", "call"), add("wire", "twin", func(s *said) { s.Systrace, s.ReqSeq = 10, 11 })),
			want{},
		},
		"its header was seen at a call that is not known to be its": {
			all(without("named"), change("call", all(carry, func(s *said) { s.ReqSeq = 99 }))),
			want{},
		},
		"the call is not here":           {without("call"), want{own: "wire", wire: "named", rule: other}},
		"nor was it then":                {all(without("call"), change("named", move(-2000))), want{own: "named", rule: one}},
		"the call's end saw it":          {change("call", carry), want{own: "wire", wire: "call", call: "named", rule: one}},
		"the call's end saw it, no more": {all(without("named"), change("call", carry)), want{own: "wire", wire: "call", rule: one}},
		"nobody says which process":      {all(change("call", carry), change("own", nameless), change("wire", nameless)), want{own: "wire", wire: "call", call: "named", rule: one}},
		"nor which service": {all(change("call", carry), change("own", nameless), change("wire", nameless),
			change("wire", func(s *said) { s.Service = 0 })), want{own: "named", wire: "call", call: "named", rule: one}},
		"another try, of which both ends are here": {
			all(change("call", carry),
				add("call", "call2", all(move(200), func(s *said) { carry(s); s.ReqSeq, s.RespSeq = 11, 21 })),
				add("wire", "wire2", all(move(200), func(s *said) { s.ReqSeq, s.RespSeq, s.Systrace = 11, 21, 10 }))),
			want{own: "wire", wire: "call", call: "named", rule: one},
		},
		"of which one saw the header": {
			all(change("call", carry),
				add("wire", "wire2", all(move(200), func(s *said) { carry(s); s.ReqSeq, s.RespSeq, s.Systrace = 11, 21, 10 }))),
			want{own: "wire", wire: "call", call: "named", rule: one},
		},
		"at the same time": {
			all(change("call", carry),
				add("wire", "wire2", func(s *said) { carry(s); s.ReqSeq, s.RespSeq, s.Systrace = 11, 21, 10 })),
			want{own: "named", wire: "call", call: "named", rule: one},
		},
		"in containers":                  {inPods, joined},
		"the caller's is in another pod": {all(inPods, change("named", func(s *said) { s.Pod++ })), stays},
		"through a proxy of the pod":     {all(throughProxy(false), inPods), want{own: "wire", wire: "relay", call: "", rule: other}},
		"whose call alone is seen":       {all(throughProxy(false), inPods, without("call")), want{own: "wire", wire: "relay", rule: other}},
		"and is known to be a proxy's": {
			all(throughProxy(false), inPods, add("call", "served", move(900)), without("call")), want{own: "named", wire: "relay", rule: one},
		},
		"through a proxy": {throughProxy(false), want{own: "wire", wire: "relay", call: "", rule: other}},
		"that passes the header on, as is seen behind it": {throughProxy(true), want{own: "wire", wire: "relay", call: "", rule: one}},
	} {
		t.Run(name, func(t *testing.T) {
			m := hiddenHeader()
			tt.change(m)
			for range 4 {
				x := New(RuleNames(), 500*time.Millisecond)
				ids, names := map[string]ID{}, map[ID]string{None: ""}
				for n := range m { // in any order
					ids[n] = x.AddRare(m[n].Fact, Rare{Exchange: m[n].Exchange})
					names[ids[n]] = n
				}
				got := want{}
				for n, parent := range map[string]*string{"own": &got.own, "wire": &got.wire, "call": &got.call} {
					id, here := ids[n]
					if !here {
						continue
					}
					e := x.Resolve(id)
					*parent = names[e.Parent]
					if n == "own" {
						got.rule = e.Rule
						require.Equal(t, e.Parent != None && !e.Stated, e.Displaces || e.Rule == AppContext && *parent == "wire")
						if e.Parent == None {
							got.rule = ""
						}
					}
					if e.Parent == None {
						continue
					}
					found := false
					x.Referrers(e.Parent, func(r ID) bool {
						found = found || r == id
						return true
					})
					require.True(t, found, "the way down finds %s, as the way up does", n)
				}
				ctx, parent, ok := x.Inherited(ids["wire"])
				got.inherits = ok
				if ok {
					require.Equal(t, trace(1), ctx)
					require.Equal(t, span(20), parent)
				}
				require.Equal(t, tt.want, got)
			}
		})
	}
}

// inPods has the caller, with its proxy if any, and the callee in a pod each, of which SDKs say no more.
func inPods(m spans) {
	for name, s := range m {
		switch name {
		case "wire", "own":
			s.Container, s.Pod = 60, 61
		case "proxy", "relay":
			s.Host, s.Container, s.Pod = 2, 71, 80
		default:
			s.Container, s.Pod = 70, 80
		}
		if !s.Raw {
			s.Host, s.PID, s.Container = 0, 0, 0
		}
		m[name] = s
	}
}

// throughProxy puts one between the call and the request.
func throughProxy(seen bool) func(spans) {
	return func(m spans) {
		in, out := m["wire"], m["call"]
		in.Span, in.Host, in.PID, in.Service, in.Systrace = span(30), 4, 9, 6, 40
		out.Span, out.Host, out.PID, out.Service, out.Systrace = span(31), 4, 9, 6, 40
		in.Start, in.End, out.Start, out.End = in.Start-ms/2, in.End+ms/2, in.Start, in.End
		out.ReqSeq, out.RespSeq = 12, 22
		wire := m["wire"]
		wire.ReqSeq, wire.RespSeq = 12, 22
		if seen {
			out.CtxTrace, out.CtxParent = trace(1), span(20)
		}
		m["proxy"], m["relay"], m["wire"] = in, out, wire
	}
}
