package ebpflinkprocessor

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// explain writes why d has the parent it has, or none, in the form that README.md describes.
func explain(to pcommon.Map, d *departure) {
	m := &d.member
	switch {
	case m.Cut:
		to.PutStr("given_up", "cycle")
	case m.Conflict:
		to.PutStr("given_up", "trace_conflict")
	}
	searches := to.PutEmptySlice("searches")
	for i := range d.why {
		search(searches.AppendEmpty().SetEmptyMap(), &d.why[i])
	}
}

func search(to pcommon.Map, e *link.Explanation) {
	to.PutStr("rule", e.Rule)
	to.PutStr("class", e.Class)
	key := to.PutEmptySlice("key")
	for _, name := range e.Key {
		key.AppendEmpty().SetStr(name)
	}
	to.PutInt("shared_by", int64(e.Shared))
	to.PutInt("shared_by_known", int64(e.Known))
	if e.Withdrawn {
		to.PutStr("outcome", "withdrawn")
		return
	}
	to.PutStr("outcome", e.Outcome.String())
	if e.Linked {
		to.PutStr("parent", pcommon.SpanID(e.Parent).String())
	}
	if len(e.Facts) > 0 {
		facts := to.PutEmptySlice("facts")
		for i := range e.Facts {
			compared(facts.AppendEmpty().SetEmptyMap(), &e.Facts[i])
		}
	}
	if len(e.Losers) > 0 {
		losers := to.PutEmptySlice("losers")
		for i := range e.Losers {
			l := losers.AppendEmpty().SetEmptyMap()
			l.PutStr("span", pcommon.SpanID(e.Losers[i].Span).String())
			l.PutStr("why", e.Losers[i].Why)
			if rival := e.Losers[i].Rival; rival != (link.SpanID{}) {
				l.PutStr("rival", pcommon.SpanID(rival).String())
			}
			if e.Losers[i].Fact.Fact != "" {
				compared(l, &e.Losers[i].Fact)
			}
		}
	}
	if e.Omitted > 0 {
		to.PutInt("losers_omitted", int64(e.Omitted))
	}
}

func compared(to pcommon.Map, c *link.Compared) {
	to.PutStr("fact", c.Fact)
	to.PutStr("verdict", c.Verdict)
	for _, side := range []struct{ key, value string }{{"child", c.Child}, {"parent", c.Parent}} {
		if side.value != "" {
			to.PutStr(side.key, side.value)
		}
	}
}
