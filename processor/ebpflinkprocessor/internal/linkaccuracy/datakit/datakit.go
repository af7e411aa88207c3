// Package datakit follows the description of how DataKit (GuanceCloud/datakit 1.84.1, 2025-10-30)
// links eBPF spans, in reference/seeds.md sections A1 to A3. It is written from that description; no
// line is DataKit's. Where the description leaves something open, the reading that links more, or
// less wrongly, was taken.
package datakit

import (
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/forest"
)

// window is both how often the linker's store rotates and how far its join looks (A2: "Windowing is by
// arrival time").
const window = 20 * time.Second

// meta is what the linker keeps of a span (A1, SpanMeta).
type meta struct {
	span *forest.Span
	// thread is ThreadTraceID: of an incoming request its own, of an outgoing one that of the request
	// which the thread served.
	thread uint64
	// req and resp are the only key of the network join: no address, no port.
	req, resp uint32

	pre, next *meta
	children  []*meta
	parent    *meta
	used      bool
}

// Link returns the parent that DataKit would give each eBPF span. Spans of SDKs are not among its
// linker's input.
//
// Taken in its favour: the pid that is lost on the way (defect 6) arrives, sampling keeps everything
// (defects 1, 4, 7), nothing is lost while the agent posts, and what is left when it stops is linked.
func Link(f *forest.Forest) map[*forest.Span]*forest.Span {
	threads := threadTraces(f)
	var rounds [][]*meta
	start := forest.Epoch.UnixNano()
	for _, a := range f.Delivery {
		if a.Span.SDK || a.Pending {
			continue
		}
		m := &meta{span: a.Span, thread: threads[a.Span]}
		if f.Scenario.Keys&forest.Seqs != 0 {
			m.req, m.resp = a.Span.ReqSeq, a.Span.RespSeq
		}
		// A span sent twice is two spans: the linker gives each a random id (A1).
		n := int((a.At - start) / int64(window))
		for len(rounds) <= n {
			rounds = append(rounds, nil)
		}
		rounds[n] = append(rounds[n], m)
	}
	out := map[*forest.Span]*forest.Span{}
	ids := spanIDs(f)
	for i, first := range rounds {
		var second []*meta
		if i+1 < len(rounds) {
			second = rounds[i+1]
		}
		connect(first, second)
		for _, m := range first {
			if !m.used {
				gather(m)
			}
		}
		for _, m := range first {
			switch _, named := m.span.Header(); {
			// With use_app_trace_id the application's parent goes before the linker's (A2).
			case named != [8]byte{}:
				out[m.span] = ids[named]
			case m.parent != nil:
				out[m.span] = m.parent.span
			}
		}
	}
	return out
}

// connect is connectSpans (A2): two maps, rebuilt each round over two windows. In each the last one of
// a kind wins.
func connect(halves ...[]*meta) {
	inner := map[uint64][]*meta{}
	outer := map[uint64]*[2]*meta{}
	for _, half := range halves {
		for _, m := range half {
			m.pre, m.next, m.children = nil, nil, nil
			if m.thread != 0 {
				list := inner[m.thread]
				if list == nil {
					list = []*meta{nil}
				}
				if m.span.Kind == forest.Server {
					list[0] = m
				} else {
					list = append(list, m)
				}
				inner[m.thread] = list
			}
			// Two zeros would join whatever has no numbers; the description does not say, so they do not.
			if m.req == 0 && m.resp == 0 {
				continue
			}
			k := uint64(m.req)<<32 | uint64(m.resp)
			if outer[k] == nil {
				outer[k] = new([2]*meta)
			}
			side := 0
			if m.span.Kind == forest.Server {
				side = 1
			}
			outer[k][side] = m
		}
	}
	for _, list := range inner {
		if list[0] == nil {
			continue
		}
		for _, child := range list[1:] {
			child.pre = list[0]
			list[0].children = append(list[0].children, child)
		}
	}
	for _, pair := range outer {
		if pair[0] != nil && pair[1] != nil {
			pair[0].next, pair[1].pre = pair[1], pair[0]
		}
	}
}

// gather is linkAndgatherTrace (A2): up to the root, then down, marking. What was marked in the round
// before is where the way up ends, so the third window of a chain begins a new trace (defect 2).
func gather(m *meta) {
	root := m
	// The real one has no guard against cycles (defect 10) and would not end.
	seen := map[*meta]bool{m: true}
	for root.pre != nil && !root.pre.used && !seen[root.pre] {
		root = root.pre
		seen[root] = true
	}
	var down func(*meta)
	down = func(m *meta) {
		m.used = true
		if m.next != nil && !m.next.used {
			m.next.parent = m
			down(m.next)
		}
		for _, c := range m.children {
			if !c.used {
				c.parent = m
				down(c)
			}
		}
	}
	down(root)
}

func spanIDs(f *forest.Forest) map[[8]byte]*forest.Span {
	ids := map[[8]byte]*forest.Span{}
	for _, s := range f.Spans {
		ids[s.ID] = s
	}
	return ids
}
