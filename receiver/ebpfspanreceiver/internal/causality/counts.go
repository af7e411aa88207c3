package causality

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Counts is what a [Solver] has seen and decided. It is written by one goroutine and read by any.
type Counts struct {
	// Overruled edges named another request than stronger evidence.
	Overruled atomic.Uint64
	// Unknown edges are of a kind that this program does not know.
	Unknown atomic.Uint64
	// Forgotten calls had evidence and no exchange.
	Forgotten atomic.Uint64
	// Hurried calls were decided before their time because too many waited.
	Hurried atomic.Uint64

	mu       sync.Mutex // guards services
	services map[string]*ServiceCounts
}

// maxServices bounds the values of one attribute; the rest share one.
const maxServices = 100

// OtherServices is the name of those that are too many to have their own.
const OtherServices = "_other"

// ServiceCounts are of all processes of one service.
type ServiceCounts struct {
	Service string
	// Evidence by kind: the index is the number of enum evidence_kind.
	Evidence [kindCount]atomic.Uint64
	// Contradicted edges, by kind, named another request than evidence of the same or of a higher rank.
	Contradicted [kindCount]atomic.Uint64
	// Refused evidence of calls without a request, by kind and why.
	Refused [kindCount][len(Refusals)]atomic.Uint64
	// Outcomes of calls.
	Outcomes [len(Outcomes)]atomic.Uint64
	// Fates of the counts of requests' calls.
	Fates [len(Fates)]atomic.Uint64
	// Links by class.
	Links [len(Classes)]atomic.Uint64
	// bounds of calibration of the process that was looked at last, as bits of a float64; 0: none.
	bounds [sortCount]atomic.Uint64
}

// service finds the counts of a service, or makes them.
func (c *Counts) service(name string) *ServiceCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.services[name]; s != nil {
		return s
	}
	if len(c.services) >= maxServices {
		name = OtherServices
		if s := c.services[name]; s != nil {
			return s
		}
	}
	if c.services == nil {
		c.services = map[string]*ServiceCounts{}
	}
	s := &ServiceCounts{Service: name}
	c.services[name] = s
	return s
}

// Services returns the counts of every service, by name.
func (c *Counts) Services() []*ServiceCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]*ServiceCounts, 0, len(c.services))
	for _, s := range c.services {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *ServiceCounts) int {
		switch {
		case a.Service < b.Service:
			return -1
		case a.Service > b.Service:
			return 1
		}
		return 0
	})
	return out
}

// Outcome is the number of calls with that outcome, of all services.
func (c *Counts) Outcome(o Outcome) (n uint64) {
	for _, s := range c.Services() {
		n += s.Outcomes[o].Load()
	}
	return n
}

// Bounds calls fn with the lower bound of each calibrated kind of evidence: how often it agreed with
// stronger evidence, at least, with 95 % certainty.
func (s *ServiceCounts) Bounds(fn func(kind string, bound float64)) {
	for i := range s.bounds {
		if bits := s.bounds[i].Load(); bits != 0 {
			fn(sort(i).name(), math.Float64frombits(bits))
		}
	}
}

func (s *ServiceCounts) refused(all []refused) {
	for _, r := range all {
		s.Refused[r.kind][r.why].Add(1)
	}
}

// EachRefused calls fn with the number of calls without a request that had evidence of a kind which was not used, and
// why.
func (s *ServiceCounts) EachRefused(fn func(kind, reason string, calls uint64)) {
	for kind := range s.Refused {
		for why := range s.Refused[kind] {
			if n := s.Refused[kind][why].Load(); n > 0 {
				fn(kinds[kind].hint, Refusals[why], n)
			}
		}
	}
}

// tried notes the outcome of a trial.
func (p *process) tried(of sort, right bool) {
	p.trials[of].add(right)
	low, _ := p.trials[of].bounds()
	p.counts.bounds[of].Store(math.Float64bits(max(low, math.SmallestNonzeroFloat64)))
}

// Kind is the name of the evidence with that number; "" where there is none.
func Kind(i int) string { return kinds[i].hint }

// Kinds is the number of kinds of evidence, named or not.
const Kinds = kindCount
