// Package sampling decides which traces leave, and says on their spans how probable that was, in the way
// that samplers before and behind it share: W3C tracestate `ot=th:…;rv:…`
// (https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/). A trace is kept when its
// 56 bits of randomness R are not below a threshold T, so whoever keeps fewer keeps a subset.
package sampling

import (
	"errors"
	"strings"

	upstream "github.com/open-telemetry/opentelemetry-collector-contrib/pkg/sampling"
)

// Decision is what became of a trace; once made it holds for every later span of it.
type Decision uint8

// Decisions. The values are stored: add, never renumber.
const (
	Undecided Decision = iota
	Kept
	// DroppedByRatio: its randomness is below the threshold of sampling_ratio.
	DroppedByRatio
	// DroppedByApp: the application's own sampler had decided against it (trace flag 00).
	DroppedByApp
)

// String is the decision as telemetry spells it.
func (d Decision) String() string {
	return [...]string{"undecided", "sampled", "sampling_ratio", "app_not_sampled"}[d&3]
}

// Dropped: the spans of the trace are not exported.
func (d Decision) Dropped() bool { return d == DroppedByRatio || d == DroppedByApp }

// Odds is what the spans of a trace say of their randomness and of the sampling before us.
type Odds struct {
	// head is the threshold of the sampler before us.
	head    upstream.Threshold
	hasHead bool
	// random stands in for the randomness of the trace id.
	random    upstream.Randomness
	hasRandom bool
}

// ReadOdds reads a W3C tracestate. A malformed one says nothing.
func ReadOdds(tracestate string) (Odds, error) {
	w3c, err := upstream.NewW3CTraceState(tracestate)
	if err != nil {
		return Odds{}, err
	}
	var o Odds
	o.head, o.hasHead = w3c.OTelValue().TValueThreshold()
	o.random, o.hasRandom = w3c.OTelValue().RValueRandomness()
	return o, nil
}

// Or fills in from p what o does not say.
func (o Odds) Or(p Odds) Odds {
	if !o.hasHead {
		o.head, o.hasHead = p.head, p.hasHead
	}
	if !o.hasRandom {
		o.random, o.hasRandom = p.random, p.hasRandom
	}
	return o
}

func (o Odds) randomness(trace [16]byte) upstream.Randomness {
	if o.hasRandom {
		return o.random
	}
	return upstream.TraceIDToRandomness(trace)
}

// Sampler keeps a share of the traces. The zero value keeps all.
type Sampler struct {
	threshold upstream.Threshold
	// state is the tracestate of a span that had none.
	state string
}

// precision is the number of hex digits of a threshold, the default of upstream's probabilistic_sampler.
const precision = 4

// ErrRatio is returned for a ratio that no threshold expresses.
var ErrRatio = errors.New("out of range: above 0, to 1")

// New makes a Sampler that keeps ratio of the traces.
func New(ratio float64) (Sampler, error) {
	// A NaN fails every comparison.
	if !(ratio >= upstream.MinSamplingProbability && ratio <= 1) {
		return Sampler{}, ErrRatio
	}
	t, err := upstream.ProbabilityToThresholdWithPrecision(ratio, precision)
	if err != nil {
		return Sampler{}, err
	}
	s := Sampler{threshold: t}
	if s.limits() {
		s.state = "ot=th:" + t.TValue()
	}
	return s, nil
}

func (s Sampler) limits() bool { return s.threshold != upstream.AlwaysSampleThreshold }

// Decide is the decision for a trace: the same here, in another gateway and after a restart.
func (s Sampler) Decide(trace [16]byte, o Odds) Decision {
	if s.limits() && !s.threshold.ShouldSample(o.randomness(trace)) {
		return DroppedByRatio
	}
	return Kept
}

// State is the tracestate of a span of a kept trace. own is the trace id that the span came with: where it
// is another, its threshold and randomness were those of another trace. A threshold that the trace's
// randomness contradicts would make every count behind us wrong, and is not written.
func (s Sampler) State(tracestate string, own, trace [16]byte, o Odds) string {
	r := o.randomness(trace)
	if tracestate == "" && o == (Odds{}) {
		if !s.limits() || !s.threshold.ShouldSample(r) {
			return ""
		}
		return s.state
	}
	if !s.limits() && o == (Odds{}) && own == trace {
		return tracestate
	}
	w3c, err := upstream.NewW3CTraceState(tracestate)
	if err != nil {
		return tracestate
	}
	ot := w3c.OTelValue()
	best, any := upstream.AlwaysSampleThreshold, false
	offer := func(t upstream.Threshold, ok bool) {
		if ok && t.ShouldSample(r) && (!any || upstream.ThresholdGreater(t, best)) {
			best, any = t, true
		}
	}
	before, had := ot.TValueThreshold()
	offer(before, had && own == trace)
	offer(o.head, o.hasHead)
	offer(s.threshold, s.limits())
	ot.ClearTValue()
	if any {
		// It refuses to lower a threshold only, and there is none.
		_ = ot.UpdateTValueWithSampling(best)
	}
	ot.ClearRValue()
	if o.hasRandom {
		ot.SetRValue(o.random)
	}
	var b strings.Builder
	if err := w3c.Serialize(&b); err != nil {
		return tracestate
	}
	return b.String()
}

// present tells a word that says something from one that does not: thresholds and randomness have 56 bits.
const present = 1 << 63

// Words is how Odds are stored, false when they say nothing.
func (o Odds) Words() (w [2]uint64, any bool) {
	if o.hasHead {
		w[0] = o.head.Unsigned() | present
	}
	if o.hasRandom {
		w[1] = o.random.Unsigned() | present
	}
	return w, o.hasHead || o.hasRandom
}

// OddsOf is the inverse of Words. What is out of range says nothing.
func OddsOf(w [2]uint64) (o Odds) {
	if w[0]&present != 0 {
		var err error
		o.head, err = upstream.UnsignedToThreshold(w[0] &^ present)
		o.hasHead = err == nil
	}
	if w[1]&present != 0 {
		var err error
		o.random, err = upstream.UnsignedToRandomness(w[1] &^ present)
		o.hasRandom = err == nil
	}
	return o
}
