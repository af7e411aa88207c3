package ebpflinkprocessor

import (
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/block"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// evidence writes by what a span was linked. What one row of the rules found looks alike nearly always, so the
// spans share it.
type evidence struct {
	share bool
	// rows are those of the rules, by their numbers; two may have one place.
	rows [32]struct {
		rule       block.Recent[string]
		confidence block.Recent[float64]
		candidates block.Recent[int64]
	}
}

// put writes e to attrs.
func (w *evidence) put(attrs pcommon.Map, e *link.Edge) {
	if !w.share {
		attrs.PutStr(rawspan.AttrRule, e.Rule)
		attrs.PutDouble(rawspan.AttrConfidence, confidence(e.Confidence))
		attrs.PutInt(rawspan.AttrCandidates, int64(e.Candidates))
		return
	}
	row := &w.rows[int(e.Row)%len(w.rows)]
	row.rule.Of(e.Rule, pcommon.NewValueStr).Put(attrs, rawspan.AttrRule)
	row.confidence.Of(confidence(e.Confidence), pcommon.NewValueDouble).Put(attrs, rawspan.AttrConfidence)
	row.candidates.Of(int64(e.Candidates), pcommon.NewValueInt).Put(attrs, rawspan.AttrCandidates)
}

// confidence is stored in half the space; six digits of it are meant.
func confidence(c float32) float64 { return math.Round(float64(c)*1e6) / 1e6 }
