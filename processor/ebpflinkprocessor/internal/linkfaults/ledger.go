package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// ledger is what became of each span of a run, by number.
type ledger struct {
	mu    sync.Mutex
	spans []fate
	// deliveries counts the requests that came out; interrupted are those that a kill may have cut off
	// before the Collector knew that they had arrived.
	deliveries  uint32
	interrupted map[uint32]bool
	strange     []string
	// events are kills and steps of the clock, for the examples.
	events []event
}

// event is what befell the Collector after so many deliveries.
type event struct {
	delivery uint32
	what     string
}

// fate of one span.
type fate struct {
	acked bool
	// times it came out, first with these ids in this delivery.
	times    int
	delivery uint32
	parent   pcommon.SpanID
	trace    pcommon.TraceID
	// excess are the times that no kill explains.
	excess int
	// moved: it came again with other ids, with these in that delivery.
	moved bool
	again pcommon.TraceID
	then  uint32
	// first is the delivery it came in first.
	first uint32
}

func newLedger() *ledger { return &ledger{interrupted: map[uint32]bool{}} }

func (l *ledger) grow(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > len(l.spans) {
		l.spans = append(l.spans, make([]fate, n-len(l.spans))...)
	}
}

func (l *ledger) acknowledge(spans []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range spans {
		l.spans[k].acked = true
	}
}

// deliver notes what came out.
func (l *ledger) deliver(td ptrace.Traces) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deliveries++
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				k, ok := number(s.SpanID(), len(l.spans))
				if !ok {
					l.strange = append(l.strange, fmt.Sprintf("span %s %q was never sent", s.SpanID(), s.Name()))
					continue
				}
				f := &l.spans[k]
				f.times++
				if f.times == 1 {
					f.parent, f.trace, f.delivery, f.first = s.ParentSpanID(), s.TraceID(), l.deliveries, l.deliveries
					continue
				}
				if f.trace != s.TraceID() && !f.moved {
					f.moved, f.again, f.then = true, s.TraceID(), l.deliveries
				}
				if !l.interrupted[f.delivery] {
					f.excess++
				}
				f.delivery = l.deliveries
			}
		}
	}
}

// interrupt notes that the Collector may not know of the last delivery.
func (l *ledger) interrupt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupted[l.deliveries] = true
	l.events = append(l.events, event{l.deliveries, "kill"})
}

// stepped notes that the clock is this far from the machine's now.
func (l *ledger) stepped(to time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, event{l.deliveries, fmt.Sprintf("clock %+g min", to.Minutes())})
}

// journey tells how span k came twice, and what became of the others of its trace meanwhile.
func (l *ledger) journey(k int) string {
	f := &l.spans[k]
	s := fmt.Sprintf("trace %s in delivery %d, %s in delivery %d;", f.trace, f.first, f.again, f.then)
	for i := k - k%traceSpans; i < k-k%traceSpans+traceSpans; i++ {
		if o := &l.spans[i]; i != k && o.times > 0 {
			s += fmt.Sprintf(" span %d: trace %s in delivery %d;", i, o.trace, o.first)
		}
	}
	for _, e := range l.events {
		s += fmt.Sprintf(" %s after %d;", e.what, e.delivery)
	}
	return strings.TrimSuffix(s, ";")
}

// missing counts acknowledged spans that have not come out.
func (l *ledger) missing() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for i := range l.spans {
		if l.spans[i].acked && l.spans[i].times == 0 {
			n++
		}
	}
	return n
}

// verdict of a run.
type verdict struct {
	acked, out, lost, repeated, excess, linked, unlinked, wrong int
	examples                                                    []string
}

func (l *ledger) judge() (v verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	example := func(format string, args ...any) {
		if len(v.examples) < 5 {
			v.examples = append(v.examples, fmt.Sprintf(format, args...))
		}
	}
	owner := map[pcommon.TraceID]int{}
	for k := range l.spans {
		f := &l.spans[k]
		if f.acked {
			v.acked++
		}
		if f.acked && f.times == 0 {
			v.lost++
			example("lost: span %d", k)
		}
		if f.times == 0 {
			continue
		}
		v.out++
		v.repeated += f.times - 1
		if v.excess += f.excess; f.excess > 0 {
			example("span %d came %d times, and no kill explains %d of them", k, f.times, f.excess)
		}
		p := parent(k)
		want := pcommon.SpanID{}
		if p >= 0 {
			want = spanID(p/traceSpans, p%traceSpans)
		}
		n, known := owner[f.trace]
		if !known {
			n = k / traceSpans
			owner[f.trace] = n
		}
		switch {
		case f.moved:
			v.wrong++
			example("span %d came in two traces: %s", k, l.journey(k))
		case n != k/traceSpans:
			v.wrong++
			example("span %d is in the trace of span %d", k, n*traceSpans)
		case f.parent != (pcommon.SpanID{}) && f.parent != want:
			v.wrong++
			example("span %d has parent %s instead of %s", k, f.parent, want)
		case f.parent != (pcommon.SpanID{}) && l.spans[p].times > 0 && l.spans[p].trace != f.trace:
			v.wrong++
			example("span %d is in another trace than its parent", k)
		case p < 0:
		case f.parent == (pcommon.SpanID{}):
			v.unlinked++
		default:
			v.linked++
		}
	}
	slices.Sort(l.strange)
	v.wrong += len(l.strange)
	for _, s := range l.strange {
		example("%s", s)
	}
	return v
}

func (v verdict) bad() bool {
	return v.lost > 0 || v.excess > 0 || v.wrong > 0 || v.acked == 0 || v.linked == 0
}

func (v verdict) String() string {
	s := fmt.Sprintf("acked=%d out=%d lost=%d duplicated=%d unexplained=%d linked=%d unlinked=%d wrong_links=%d",
		v.acked, v.out, v.lost, v.repeated, v.excess, v.linked, v.unlinked, v.wrong)
	if len(v.examples) > 0 {
		s += "\n    " + strings.Join(v.examples, "\n    ")
	}
	return s
}

func (l *ledger) count() uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deliveries
}
