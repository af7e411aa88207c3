package ebpflinkprocessor

import (
	"math"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/window"
)

// factBytes is about what the fact of a span that has left takes in memory: 190 of a raw span, 390 of one with an
// x-request-id (BenchmarkLinkFactMemory).
const factBytes = 300

// sayAgain is how long the log says nothing more of facts that are forgotten too early.
const sayAgain = time.Hour

// tooFewFacts says, but not for each fact, that max_link_facts made some go before link_retention, and what it would take
// to keep them. held have left within age, of which that follows: of a burst it follows for a rate that does not last.
func (p *linkProcessor) tooFewFacts(now window.Instant, held int, age time.Duration) {
	// With max_link_facts 0 it is what was asked for.
	if now < p.quietUntil || p.cfg.MaxLinkFacts == 0 {
		return
	}
	p.quietUntil = now + window.Instant(sayAgain)
	// Spans leave together: within less than a second they say nothing of a rate.
	needed := float64(held) * p.cfg.LinkRetention.Seconds() / max(age, time.Second).Seconds()
	p.set.Logger.Warn("max_link_facts is too small for link_retention: facts of spans are forgotten earlier, and spans that come after that make traces of their own; raise it, or shorten link_retention to what is meant",
		zap.Int("max_link_facts", p.cfg.MaxLinkFacts),
		zap.String("oldest_fact_age", age.Round(100*time.Millisecond).String()),
		zap.String("link_retention", p.cfg.LinkRetention.String()),
		zap.Int64("max_link_facts_needed", int64(needed)),
		zap.Int64("memory_needed_mib", int64(math.Ceil(needed*factBytes/(1<<20)))))
}
