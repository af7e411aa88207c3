package main

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/deepflow"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/engine"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/forest"
)

// stage is one process whose spans are written down by hand, times in milliseconds.
type stage struct {
	p     *forest.Process
	spans []*forest.Span
}

func newStage() *stage {
	return &stage{p: &forest.Process{
		Host: &forest.Host{Name: "host", Addr: netip.MustParseAddr("10.0.0.1")}, PID: 7,
	}}
}

func (s *stage) add(sp *forest.Span) *forest.Span {
	sp.Process = s.p
	sp.Start *= int64(time.Millisecond)
	sp.End *= int64(time.Millisecond)
	s.spans = append(s.spans, sp)
	return sp
}

// request is read by one thread and answered by another.
func (s *stage) request(from, to int64, reader, writer uint64) *forest.Span {
	return s.add(&forest.Span{Kind: forest.Server, Start: from, End: to, Begin: forest.Thread(reader), Finish: forest.Thread(writer)})
}

// call is made by one thread, which also reads the answer. The receiver knows whose it is.
func (s *stage) call(from, to int64, thread uint64, parent *forest.Span) *forest.Span {
	return s.add(&forest.Span{
		Kind: forest.Client, Start: from, End: to, Parent: parent, Known: parent != nil,
		Begin: forest.Thread(thread), Finish: forest.Thread(thread),
	})
}

// verdict counts the calls that got their parent, and those that got a wrong one.
func verdict(spans []*forest.Span, found map[*forest.Span]*forest.Span) (right, wrong int) {
	for _, c := range spans {
		switch p := found[c]; {
		case c.Kind != forest.Client || p == nil:
		case p == c.Parent:
			right++
		default:
			wrong++
		}
	}
	return right, wrong
}

// TestDeepFlowTable is the table of reference/deepflow.md section 3.8: what a simulation of DeepFlow's
// rules links in each situation. Our re-implementation gives the same; the processor links all that
// there is, and nothing else.
func TestDeepFlowTable(t *testing.T) {
	fanOut := func(n int) func(*stage) {
		return func(s *stage) {
			r := s.request(0, 100, 1, 1)
			for i := range int64(n) {
				s.call(10+i, 50+i, 1, r)
			}
		}
	}
	for _, tt := range []struct {
		name         string
		act          func(*stage)
		calls        int
		right, wrong int
	}{
		{"three calls one after the other", func(s *stage) {
			r := s.request(0, 100, 1, 1)
			for i := range int64(3) {
				s.call(10+20*i, 20+20*i, 1, r)
			}
		}, 3, 3, 0},
		{"2 calls at once from one thread", fanOut(2), 2, 2, 0},
		{"3 calls at once from one thread", fanOut(3), 3, 2, 0},
		{"4 calls at once from one thread", fanOut(4), 4, 2, 0},
		{"8 calls at once from one thread", fanOut(8), 8, 2, 0},
		{"event loop, each call right after its request was read", func(s *stage) {
			r1 := s.request(0, 60, 1, 1)
			s.call(1, 50, 1, r1)
			r2 := s.request(2, 80, 1, 1)
			s.call(3, 70, 1, r2)
		}, 2, 2, 0},
		{"event loop, two requests read before the first call", func(s *stage) {
			r1, r2 := s.request(0, 60, 1, 1), s.request(1, 80, 1, 1)
			s.call(2, 50, 1, r1)
			s.call(3, 70, 1, r2)
		}, 2, 1, 1},
		{"one thread reads and answers, a worker calls", func(s *stage) {
			s.call(10, 50, 2, s.request(0, 100, 1, 1))
		}, 1, 0, 0},
		{"one thread reads, a worker calls and answers", func(s *stage) {
			s.call(10, 50, 2, s.request(0, 100, 1, 2))
		}, 1, 1, 0},
		{"a thread that has read what nobody answers calls on its own", func(s *stage) {
			m := s.request(0, 500_000, 1, 9)
			m.NoAnswer = true
			s.call(60_000, 60_010, 1, nil)
		}, 0, 0, 1},
		{"a call after the answer", func(s *stage) {
			s.request(0, 10, 1, 1)
			s.call(20, 30, 1, nil)
		}, 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage()
			tt.act(s)
			f := forest.Of(forest.Scenario{Keys: forest.AllKeys}, s.spans...)
			right, wrong := verdict(s.spans, deepflow.Link(f))
			require.Equal(t, []int{tt.right, tt.wrong}, []int{right, wrong}, "DeepFlow")
			out, err := engine.Run(f, engine.Options{})
			require.NoError(t, err)
			right, wrong = verdict(s.spans, parentsOf(f, out))
			require.Equal(t, []int{tt.calls, 0}, []int{right, wrong}, "ours")
		})
	}
}

// ours runs a scenario and asks that nothing is wrong or missing.
func ours(t *testing.T, r row) (f *forest.Forest, s score, out engine.Result) {
	t.Helper()
	f = forest.Grow(r.Scenario, 7)
	out, err := engine.Run(f, engine.Options{Seed: 7})
	require.NoError(t, err)
	s = judge(f, parentsOf(f, out))
	require.Zero(t, s.wrong)
	require.Equal(t, s.exact, s.found)
	return f, s, out
}

func named(t *testing.T, name string) row {
	t.Helper()
	for _, r := range rows() {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no scenario %q", name)
	return row{}
}

// The failure modes of section 5 that are about linking, each with what DeepFlow's rules make of it.
func TestDeepFlowFailureModes(t *testing.T) {
	for _, tt := range []struct {
		issue, scenario string
		// below is what DeepFlow's recall, or its precision, stays below.
		recall, precision float64
	}{
		{"9144 ingress and egress on different threads", "thread_pool", .5, 2},
		{"5768 pipelining", "pipelining", .6, .95},
		{"fan-out of more than two per thread", "fanout_64", .5, 2},
		{"clocks further apart than 60 ms", "skew_500ms", .7, 2},
		{"8497 no way through a gateway without X-Request-ID", "gateway", 1.1, 2},
		{"coroutines that outlive a request", "go_transport", .7, .98},
	} {
		t.Run(tt.issue, func(t *testing.T) {
			f, s, _ := ours(t, named(t, tt.scenario))
			require.Equal(t, 1.0, s.recall())
			theirs := judge(f, deepflow.Link(f))
			require.Less(t, theirs.recall(), tt.recall)
			require.Less(t, theirs.precision(), tt.precision)
		})
	}
}

// TestDeepFlowZeroIsNoID: two spans that both lack an id are equal there (section 3.3 P4).
func TestDeepFlowZeroIsNoID(t *testing.T) {
	s := newStage()
	r := s.request(0, 100, 1, 1)
	c := s.call(10, 20, 2, nil)
	f := forest.Of(forest.Scenario{}, s.spans...)
	out, err := engine.Run(f, engine.Options{})
	require.NoError(t, err)
	require.Zero(t, out[c].Parent)
	require.Zero(t, out[r].Parent)
}

// TestDeepFlowExportHasParents is issues 2933, 4252 and 2921: what leaves names its parent, never itself,
// and shares the trace id of its whole tree, so that tail sampling behind it works.
func TestDeepFlowExportHasParents(t *testing.T) {
	f, _, out := ours(t, named(t, "threads"))
	for s, o := range out {
		require.NotEqual(t, s.ID, o.Parent)
		require.Equal(t, s.Parent == nil, o.Parent == [8]byte{})
		require.Equal(t, out[s.Tree()].Trace, o.Trace)
	}
	require.Len(t, out, len(f.Spans))
}

// TestDeepFlowLimits: a query there stops after 30 rounds and 1000 rows.
func TestDeepFlowLimits(t *testing.T) {
	for name, change := range map[string]func(*forest.Scenario){
		"100 calls deep": func(s *forest.Scenario) {
			s.Depth, s.FanMin, s.FanMax, s.Traces, s.Lasts, s.Untraced = 100, 1, 1, 3, 10*time.Second, 0
		},
		"1400 spans a request": func(s *forest.Scenario) { s.Depth, s.FanMin, s.FanMax, s.Traces, s.Untraced = 1, 700, 700, 2, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			f, s, out := ours(t, row{Scenario: with(name, "", change)})
			require.Equal(t, 1.0, s.recall())
			split, mixed := traces(out)
			require.Zero(t, split+mixed)
			require.Greater(t, len(f.Spans)/f.Scenario.Traces, 190)
		})
	}
}

// TestDeepFlowKeepAlive is issue 6361, and OBI's 2259 and 2551: requests that share a connection are
// requests of their own, however many there are.
func TestDeepFlowKeepAlive(t *testing.T) {
	const requests = 3000
	a, b := newStage(), newStage()
	b.p.Host = &forest.Host{Name: "other", Addr: netip.MustParseAddr("10.0.0.2")}
	for i := range int64(requests) {
		r := a.request(10*i, 10*i+9, 1, 1)
		c := a.call(10*i+1, 10*i+8, 1, r)
		s := b.request(10*i+2, 10*i+7, 1, 1)
		s.Parent = c
		c.Conn, s.Conn, r.Conn = 1, 1, 2
		c.ReqSeq, c.RespSeq = uint32(1+100*i), uint32(1+300*i)
		s.ReqSeq, s.RespSeq = c.ReqSeq, c.RespSeq
	}
	var all []*forest.Span
	for i := range a.spans {
		all = append(all, a.spans[i])
		if i%2 == 1 {
			all = append(all, b.spans[i/2])
		}
	}
	f := forest.Of(forest.Scenario{Keys: forest.AllKeys}, all...)
	out, err := engine.Run(f, engine.Options{})
	require.NoError(t, err)
	s := judge(f, parentsOf(f, out))
	require.Equal(t, 2*requests, s.right)
	require.Zero(t, s.wrong)
	ids := map[[16]byte]int{}
	for _, o := range out {
		ids[o.Trace]++
	}
	require.Len(t, ids, requests, fmt.Sprintf("%d requests over two connections are as many traces", requests))
}
