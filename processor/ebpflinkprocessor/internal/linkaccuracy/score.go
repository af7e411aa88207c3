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
	// guess is how many of the edges nothing but time tells, known how many of these are right.
	guess, known int
	// missed is how many SDK spans are of a request whose header was not captured, joined how many of these went under
	// it.
	missed, joined int
	// bad are the children of the wrong edges.
	bad []*forest.Span
}

// precision of no links is 1: nothing wrong was said.
func (s *score) precision() float64 { return share(s.right, s.right+s.wrong) }
func (s *score) recall() float64    { return share(s.right, s.edges) }
func (s *score) recallExact() float64 {
	return share(s.found, s.exact)
}

// recallSure is that of the edges that something but time tells: who asks for no guess gets none.
func (s *score) recallSure() float64 { return share(s.right-s.known, s.edges-s.guess) }

// f1 is one figure for both, for linkers that weigh them differently.
func (s *score) f1() float64 { return 2 * float64(s.right) / float64(max(1, s.right+s.wrong+s.edges)) }

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
				if c.SDK && c.Parent.Missed {
					s.missed++
					if p == c.Parent {
						s.joined++
					}
				}
				if c.Twinned() {
					s.guess++
					if p == c.Parent {
						s.known++
					}
				}
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
		// Of a call whose header nobody saw its request is not the whole truth where an SDK has a span between.
		if p != nil && ((inTime && !c.Bare && !(c.Missed && c.Kind == forest.Client)) || !above(p, c)) && !(c.SDK && c.CtxParent == p.ID) {
			s.wrong++
			s.bad = append(s.bad, c)
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

// byRule is what each rule found.
type byRule map[string]found

// found are links of one rule; sure is the sum of their confidences.
type found struct {
	links, wrong int
	sure         float64
}

func (g found) precision() float64  { return share(g.links-g.wrong, g.links) }
func (g found) confidence() float64 { return g.sure / float64(max(1, g.links)) }

// ruled counts the links of each rule, and which of s are wrong.
func ruled(f *forest.Forest, out engine.Result, s *score) byRule {
	by := byRule{}
	for c := range parentsOf(f, out) {
		if o := out[c]; o.Rule != "" {
			g := by[o.Rule]
			g.links++
			g.sure += o.Confidence
			by[o.Rule] = g
		}
	}
	for _, c := range s.bad {
		if o := out[c]; o.Rule != "" {
			g := by[o.Rule]
			g.wrong++
			by[o.Rule] = g
		}
	}
	return by
}

// without is p but for what rule found.
func (p parents) without(rule string, out engine.Result) parents {
	q := parents{}
	for c, parent := range p {
		if out[c].Rule != rule {
			q[c] = parent
		}
	}
	return q
}
