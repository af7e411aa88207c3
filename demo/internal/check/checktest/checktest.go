// Package checktest makes the spans that a perfect collector would, for tests to spoil.
package checktest

import (
	"encoding/binary"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/plan"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/span"
)

// World collects spans. Next is the last id used.
type World struct {
	Next  uint64
	Spans []span.Span
}

func (w *World) trace() (t pcommon.TraceID) {
	w.Next++
	binary.BigEndian.PutUint64(t[:], w.Next)
	return t
}

// Request adds the spans of one request that starts at start (wall ns) and lasts 100 ms.
func (w *World) Request(r plan.Request, start int64) {
	w.add(r.Root, nil, w.trace(), start, start+int64(100*time.Millisecond))
}

// Background adds both ends of the call /background/catalog-<n>, which lasts 5 ms.
func (w *World) Background(n string, start int64) {
	path := plan.BackgroundPrefix + plan.Catalog + "-" + n
	w.add(&plan.Node{
		Service: plan.Catalog, Kind: plan.Client, Path: path,
		Children: []*plan.Node{{Service: plan.Pricing, Kind: plan.Server, Path: path}},
	},
		nil, w.trace(), start, start+int64(5*time.Millisecond))
}

func (w *World) add(n *plan.Node, parent *span.Span, trace pcommon.TraceID, start, end int64) {
	s := span.Span{Service: n.Service, Kind: string(n.Kind), Path: n.Path, Redis: n.Op, Start: start, End: end, Trace: trace}
	if n.Path != "" {
		s.Method = "GET"
	}
	w.Next++
	binary.BigEndian.PutUint64(s.ID[:], w.Next)
	if parent != nil {
		s.Parent, s.Rule, s.Confidence, s.HasConfidence = parent.ID, "tcp_seq", 1, true
		if n.Kind == plan.Client {
			s.Rule = "systrace"
		}
	}
	w.Spans = append(w.Spans, s)
	step := (end - start) / int64(len(n.Children)+1)
	for i, c := range n.Children {
		w.add(c, &s, trace, start+int64(i)*step+1, start+int64(i+1)*step)
	}
}
