package main

import (
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/engine"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/forest"
)

// parents is what a linker found: the parent of each span, nothing for a root.
type parents map[*forest.Span]*forest.Span

// score of one linker on one scenario.
type score struct {
	// edges that are there to be found, right and wrong ones found.
	edges, right, wrong int
	// exact is how many of the edges an exact rule speaks of, found how many of these are right.
	exact, found int
	// firstMiss and firstWrong are for whoever looks into it.
	firstMiss, firstWrong *forest.Span
	// unfound is an edge that was missed and that no exact rule speaks of.
	unfound *forest.Span
}

// precision of no links is 1: nothing wrong was said.
func (s *score) precision() float64 { return share(s.right, s.right+s.wrong) }
func (s *score) recall() float64    { return share(s.right, s.edges) }
func (s *score) recallExact() float64 {
	return share(s.found, s.exact)
}

func share(n, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(n) / float64(of)
}

// judge compares found with the truth. A span whose parent did not come while it waited may go under any
// true ancestor, and need not. What an SDK says of itself is not counted: nobody found it.
func judge(f *forest.Forest, found parents) score {
	heard, came := f.Arrivals()
	var s score
	for _, c := range f.Spans {
		at, ok := came[c]
		if !ok || c.Stated() {
			continue
		}
		p, inTime := found[c], false
		if c.Parent != nil {
			if first, ok := heard[c.Parent]; ok {
				s.edges++
				// Later than that the child may have left, and has had its chance.
				inTime = first <= at+int64(f.Window()/2-time.Second)
				if c.Exact && inTime {
					s.exact++
					if p == c.Parent {
						s.found++
					} else if s.firstMiss == nil {
						s.firstMiss = c
					}
				}
				if p == c.Parent {
					s.right++
					continue
				}
				if s.unfound == nil {
					s.unfound = c
				}
			}
		}
		// Of a call without a header its request is not the whole truth where an SDK has a span between.
		if p != nil && ((inTime && !c.Bare) || !above(p, c)) && !(c.SDK && c.CtxParent == p.ID) {
			s.wrong++
			if s.firstWrong == nil {
				s.firstWrong = c
			}
		}
	}
	return s
}

// above says whether p is an ancestor of c.
func above(p, c *forest.Span) bool {
	for c.Parent != nil && c.Parent != p {
		c = c.Parent
	}
	return c.Parent == p
}

// traces says how the trace ids that came out fit the trees: a tree in several traces is split, a trace
// of several trees mixed.
func traces(out engine.Result) (split, mixed int) {
	byTree := map[*forest.Span]map[[16]byte]bool{}
	byTrace := map[[16]byte]map[*forest.Span]bool{}
	for s, o := range out {
		t := s.Tree()
		if byTree[t] == nil {
			byTree[t] = map[[16]byte]bool{}
		}
		if byTrace[o.Trace] == nil {
			byTrace[o.Trace] = map[*forest.Span]bool{}
		}
		byTree[t][o.Trace] = true
		byTrace[o.Trace][t] = true
	}
	for _, ids := range byTree {
		split += len(ids) - 1
	}
	for _, trees := range byTrace {
		mixed += len(trees) - 1
	}
	return split, mixed
}

// parentsOf reads the parents of what came out.
func parentsOf(f *forest.Forest, out engine.Result) parents {
	ids := map[[8]byte]*forest.Span{}
	for _, s := range f.Spans {
		ids[s.ID] = s
	}
	p := parents{}
	for s, o := range out {
		if found := ids[o.Parent]; found != nil {
			p[s] = found
		}
	}
	return p
}
