package link

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ledTrace is a request without a header on host 1, the SDK's trace that began in it, and two calls of it.
func ledTrace() map[string]Fact {
	service := func(f Fact, name string) Fact {
		f.Service = ServiceKey(name)
		return f
	}
	root := Fact{Span: span(2), OwnTrace: TraceID{1}, CtxTrace: TraceID{1}, Role: Server, Start: 101 * ms, End: 199 * ms}
	with := func(f Fact) Fact {
		f.CtxTrace, f.CtxParent = TraceID{1}, span(9)
		return f
	}
	wire := server(1, 100, systrace(7), lasts(100))
	a, b := client(3, 110, systrace(7), lasts(10)), client(4, 120, systrace(7), lasts(10))
	return map[string]Fact{
		"wire": service(wire, "shop"), "root": service(root, "shop"),
		"a": service(with(a), "shop"), "b": service(with(b), "shop"),
	}
}

func TestSDKRootUnderWire(t *testing.T) {
	type facts = map[string]Fact
	change := func(name string, fn func(*Fact)) func(facts) {
		return func(m facts) {
			f := m[name]
			fn(&f)
			m[name] = f
		}
	}
	add := func(like, name string, fn func(*Fact)) func(facts) {
		return func(m facts) {
			f := m[like]
			f.Span[0] = 99
			fn(&f)
			m[name] = f
		}
	}
	for name, tt := range map[string]struct {
		change func(facts)
		linked bool
	}{
		"as it is":                {func(facts) {}, true},
		"one call says it":        {func(m facts) { delete(m, "b") }, true},
		"no call says it":         {func(m facts) { delete(m, "a"); delete(m, "b") }, false},
		"a call without a header": {change("b", func(f *Fact) { f.CtxTrace, f.CtxParent = TraceID{}, SpanID{} }), true},
		"a call of another trace": {change("b", func(f *Fact) { f.CtxTrace = TraceID{2} }), false},
		"a call of another request": {func(m facts) {
			add("wire", "wire2", func(f *Fact) { f.Systrace = 8 })(m)
			change("b", func(f *Fact) { f.Systrace = 8 })(m)
		}, false},
		"of one that is not here":    {change("b", func(f *Fact) { f.Systrace = 8 }), false},
		"of one elsewhere":           {change("b", func(f *Fact) { f.Systrace, f.Service = 8, ServiceKey("stock") }), true},
		"the request is not here":    {func(m facts) { delete(m, "wire") }, false},
		"two requests of one id":     {add("wire", "wire2", func(*Fact) {}), false},
		"the request had a header":   {change("wire", func(f *Fact) { f.CtxTrace, f.CtxParent = TraceID{5}, span(8) }), false},
		"another service":            {change("wire", func(f *Fact) { f.Service = ServiceKey("stock") }), false},
		"no service":                 {change("root", func(f *Fact) { f.Service = 0 }), false},
		"the trace has two roots":    {add("root", "root2", func(*Fact) {}), false},
		"its root has a parent":      {change("root", func(f *Fact) { f.CtxParent = span(77) }), false},
		"its root is no SERVER span": {change("root", func(f *Fact) { f.Role = Other }), false},
		"it began before":            {change("root", func(f *Fact) { f.Start = 89 * ms }), false},
		"it began after":             {change("root", func(f *Fact) { f.Start = 211 * ms }), false},
		"the request is still open":  {change("wire", func(f *Fact) { f.Pending, f.End = true, 0 }), true},
		"calls itself, with the header": {func(m facts) {
			add("wire", "wire2", func(f *Fact) { f.Systrace, f.CtxTrace, f.CtxParent = 8, TraceID{1}, span(9) })(m)
			add("a", "deeper", func(f *Fact) { f.Systrace = 8 })(m)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				m := ledTrace()
				tt.change(m)
				x := New(RuleNames(), 500*time.Millisecond)
				ids := map[string]ID{}
				for n := range m { // in any order
					ids[n] = x.Add(m[n])
				}
				e := x.Resolve(ids["root"])
				if !tt.linked {
					require.Equal(t, None, e.Parent)
					continue
				}
				require.Equal(t, ids["wire"], e.Parent)
				require.Equal(t, AppContext, e.Rule)
				require.InDelta(t, SDKRootConfidence, e.Confidence, 1e-6)
				found := false
				x.Referrers(ids["wire"], func(id ID) bool {
					found = found || id == ids["root"]
					return true
				})
				require.True(t, found, "the way down finds what the way up does")
			}
		})
	}
}

// TestSDKRootsAtBoundedCost: many roots of one trace, or many calls with its header, cost what one does.
func TestSDKRootsAtBoundedCost(t *testing.T) {
	x := New(RuleNames(), 0)
	m := ledTrace()
	x.Add(m["wire"])
	rng := rand.New(rand.NewPCG(1, 1))
	var last ID
	for i := range 20_000 {
		r, c := m["root"], m["a"]
		r.Span[1], r.Span[2], c.Span[1], c.Span[2], c.Span[3] = byte(i), byte(i>>8), byte(i), byte(i>>8), 1
		r.Start += rng.Int64N(1000)
		last = x.Add(r)
		x.Add(c)
	}
	for i := range 2000 {
		require.Equal(t, None, x.Resolve(last-ID(2*i)).Parent)
	}
}
