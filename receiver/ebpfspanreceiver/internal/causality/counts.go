package causality

import "sync/atomic"

// Counts is what a [Solver] has seen and decided. It is written by one goroutine and read by any.
type Counts struct {
	// Evidence by kind: the index is the number of enum evidence_kind.
	Evidence [kindCount]atomic.Uint64
	// Outcomes of calls.
	Outcomes [len(Outcomes)]atomic.Uint64
	// Overruled edges named another request than stronger evidence.
	Overruled atomic.Uint64
	// Unknown edges are of a kind that this program does not know.
	Unknown atomic.Uint64
	// Forgotten calls had evidence and no exchange.
	Forgotten atomic.Uint64
	// Hurried calls were decided before their time because too many waited.
	Hurried atomic.Uint64
}

// Kind is the name of the evidence with that index in Counts.Evidence; "" where there is none.
func Kind(i int) string { return kinds[i].hint }
