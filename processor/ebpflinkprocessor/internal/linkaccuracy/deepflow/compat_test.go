package deepflow

import (
	"testing"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/forest"
)

// linked gives the rows to the rules of ours, with compat for the ids.
func linked(rows []*row) map[*forest.Span]*forest.Span {
	x := link.New(append(link.RuleNames(), link.Compat), 500*time.Millisecond)
	at := map[link.ID]*row{}
	for _, r := range rows {
		f := link.Fact{
			Span: link.SpanID(r.span.ID), Raw: true, Host: link.HostKey(r.span.Process.Host.Name), Start: r.start, End: r.end,
			Role: link.Server, CtxTrace: link.TraceID(r.trace), CtxParent: link.SpanID(r.spanID),
		}
		if r.client {
			f.Role = link.Client
		}
		f.SetLink(&rawspan.Link{ReqSeq: r.reqSeq, RespSeq: r.respSeq, Local: r.span.Local, Peer: r.span.Peer})
		rare := link.Rare{
			Foreign: true, Process: link.ProcessKey(int64(r.span.Process.PID)),
			RequestID: link.RequestIDKey(r.x0), ResponseID: link.RequestIDKey(r.x1),
		}
		if r.reqSys != r.respSys {
			rare.ReqChain, rare.RespChain = r.reqSys, r.respSys
		}
		at[x.AddRare(f, rare)] = r
	}
	out := map[*forest.Span]*forest.Span{}
	for id, r := range at {
		if e := x.Resolve(id); e.Parent != link.None {
			out[r.span] = at[e.Parent].span
		}
	}
	return out
}

// TestCompatOnDeepFlowRows: of DeepFlow's own ids our rules make no more wrong links than its assembler, and
// find about what it finds.
func TestCompatOnDeepFlowRows(t *testing.T) {
	base := forest.Scenario{
		Traces: 100, Gap: 3 * time.Millisecond, Lasts: 200 * time.Millisecond, Hosts: 6, Depth: 3, FanMin: 1, FanMax: 3,
		Untraced: .2, Keys: forest.AllKeys, KeepAlive: true,
	}
	for _, tt := range []struct {
		name   string
		change func(*forest.Scenario)
	}{
		{"threads", func(*forest.Scenario) {}},
		{"fan-out", func(s *forest.Scenario) { s.Depth, s.FanMax = 2, 20 }},
		{"parallel", func(s *forest.Scenario) { s.FanMax, s.Parallel = 8, true }},
		{"event loop", func(s *forest.Scenario) { s.Style = forest.Loop }},
		{"proxies", func(s *forest.Scenario) { s.Proxies = .33 }},
		{"loss", func(s *forest.Scenario) { s.Loss = .05 }},
		{"retries", func(s *forest.Scenario) { s.Retry = .33 }},
	} {
		sc := base
		tt.change(&sc)
		f := forest.Grow(sc, 1)
		theirs, ours := count(Link(f)), count(linked(capture(f)))
		t.Logf("%s: DeepFlow %d right, %d wrong; compat %d right, %d wrong", tt.name, theirs.right, theirs.wrong, ours.right, ours.wrong)
		if ours.wrong > theirs.wrong {
			t.Errorf("%s: more wrong links than DeepFlow", tt.name)
		}
		// What it guesses, and ours leaves open, may be right.
		if 20*ours.right < 19*theirs.right {
			t.Errorf("%s: far fewer links than DeepFlow", tt.name)
		}
	}
}

type counted struct{ right, wrong int }

func count(parents map[*forest.Span]*forest.Span) (c counted) {
	for child, p := range parents {
		if child.Parent == p {
			c.right++
		} else {
			c.wrong++
		}
	}
	return c
}
