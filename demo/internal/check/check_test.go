package check

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/check/checktest"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/plan"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/span"
)

const ms = int64(1e6)

// world is a perfect collector's spans, which the tests spoil.
type world struct{ checktest.World }

// at finds one span.
func (w *world) at(t *testing.T, service, kind, path string) *span.Span {
	t.Helper()
	for i := range w.Spans {
		if s := &w.Spans[i]; s.Service == service && s.Kind == kind && (s.Path == path || s.Redis == path) {
			return s
		}
	}
	t.Fatalf("no %s %s %s", service, kind, path)
	return nil
}

func (w *world) remove(s *span.Span) {
	for i := range w.Spans {
		if &w.Spans[i] == s {
			w.Spans = append(w.Spans[:i:i], w.Spans[i+1:]...)
			return
		}
	}
}

// perfect is two checkouts, one direct call of each kind, four background calls, and a warm-up
// request of which half is missing.
func perfect() (*world, Load) {
	w := &world{}
	load := Load{Start: 1000 * ms}
	load.Requests = []plan.Request{plan.Checkout("a1"), plan.Checkout("b2"), plan.Price("c3", "taxed"), plan.Stock("d4")}
	for i, r := range load.Requests {
		w.Request(r, load.Start+int64(i)*10*ms)
	}
	for i, n := range []string{"1", "2", "3", "4"} {
		w.Background(n, load.Start+int64(i)*20*ms)
	}
	warm := &checktest.World{Next: 1 << 32}
	warm.Request(plan.Checkout("warm-1"), 10*ms)
	w.Spans = append(w.Spans, warm.Spans[5:]...)
	return w, load
}

func TestPerfect(t *testing.T) {
	w, load := perfect()
	r := Run(load, w.Spans)
	require.Empty(t, r.Findings)
	require.True(t, r.OK())
	want := 0
	for _, q := range load.Requests {
		want += q.Root.Count()
	}
	require.Equal(t, want, r.Spans)
	require.Equal(t, 4, r.Requests)
	require.Equal(t, 4, r.Whole)
	require.Equal(t, 4, r.Traces)
	require.Equal(t, 4, r.Background)
	require.Equal(t, want-4, r.Rules["tcp_seq"]+r.Rules["systrace"]-4, "the links of background calls count too")
}

func TestWeakestLinkOfEachRule(t *testing.T) {
	w, load := perfect()
	w.at(t, "tax", "SERVER", "/tax/a1/taxed").Confidence = 0.7
	w.at(t, "tax", "SERVER", "/tax/b2/taxed").Confidence = 0.8
	r := Run(load, w.Spans)
	require.Equal(t, map[string]float64{"tcp_seq": 0.7, "systrace": 1}, r.Weakest)
}

// A linked background call is not counted among the good ones.
func TestBackgroundCount(t *testing.T) {
	w, load := perfect()
	w.at(t, "catalog", "CLIENT", "/background/catalog-2").Parent = w.at(t, "catalog", "SERVER", "/item/a1/details").ID
	require.Equal(t, 3, Run(load, w.Spans).Background)
}

func TestNothingTracedIsNotOK(t *testing.T) {
	_, load := perfect()
	require.False(t, Run(load, nil).OK())
	require.False(t, Run(Load{}, nil).OK())
}

// differs holds the test ids to commands that tell them apart, so that moving one is visible.
func differs(t *testing.T) {
	t.Helper()
	require.NotEqual(t, opsOf("a1"), opsOf("b2"), "the test ids must use different commands")
}

func opsOf(id string) string {
	var ops []string
	for n := range 4 {
		ops = append(ops, plan.RedisOp(id, n))
	}
	return strings.Join(ops, " ")
}

func TestFaults(t *testing.T) {
	differs(t)
	tests := map[string]struct {
		harm func(t *testing.T, w *world)
		want map[string]int // exact counts
		min  map[string]int // at least
	}{
		"client linked to the other request": {
			harm: func(t *testing.T, w *world) {
				s, to := w.at(t, "frontend", "CLIENT", "/item/a1/details"), w.at(t, "frontend", "SERVER", "/checkout/b2")
				s.Parent = to.ID
			},
			want: map[string]int{WrongParent: 1}, min: map[string]int{Split: 1},
		},
		"server linked to the other price of its own request": {
			harm: func(t *testing.T, w *world) {
				w.at(t, "pricing", "SERVER", "/price/a1/taxed").Parent = w.at(t, "frontend", "CLIENT", "/price/a1/cached").ID
			},
			want: map[string]int{WrongParent: 1, Split: 0},
		},
		"two requests exchange a call": {
			harm: func(t *testing.T, w *world) {
				a, b := w.at(t, "catalog", "CLIENT", "/price/a1/list-details"), w.at(t, "catalog", "CLIENT", "/price/b2/list-details")
				a.Parent, b.Parent, a.Trace, b.Trace = b.Parent, a.Parent, b.Trace, a.Trace
			},
			want: map[string]int{WrongParent: 2}, min: map[string]int{Split: 2, Merged: 1},
		},
		"span missing": {
			harm: func(t *testing.T, w *world) { w.remove(w.at(t, "tax", "SERVER", "/tax/a1/thread")) },
			want: map[string]int{Missing: 1, Orphan: 0, WrongParent: 0},
		},
		"span in the middle missing": {
			harm: func(t *testing.T, w *world) { w.remove(w.at(t, "pricing", "SERVER", "/price/a1/taxed")) },
			want: map[string]int{Missing: 1, Orphan: 1, WrongParent: 0},
		},
		"root missing": {
			harm: func(t *testing.T, w *world) { w.remove(w.at(t, "frontend", "SERVER", "/checkout/a1")) },
			want: map[string]int{Missing: 1, Orphan: 6},
		},
		"orphan": {
			harm: func(t *testing.T, w *world) {
				w.at(t, "inventory", "SERVER", "/stock/a1").Parent = pcommon.SpanID{}
			},
			want: map[string]int{Orphan: 1, WrongParent: 0},
		},
		"orphan with a trace of its own": {
			harm: func(t *testing.T, w *world) {
				s := w.at(t, "tax", "SERVER", "/tax/b2/taxed")
				s.Parent, s.Trace = pcommon.SpanID{}, pcommon.TraceID{15: 9}
			},
			want: map[string]int{Orphan: 1, Split: 1},
		},
		"right parents, two traces": {
			harm: func(t *testing.T, w *world) {
				w.at(t, "frontend", "CLIENT", "/stock/a1").Trace = pcommon.TraceID{15: 9}
			},
			want: map[string]int{WrongParent: 0, Orphan: 0}, min: map[string]int{Split: 1},
		},
		"two requests in one trace": {
			harm: func(t *testing.T, w *world) {
				a, b := w.at(t, "frontend", "SERVER", "/checkout/a1").Trace, w.at(t, "frontend", "SERVER", "/checkout/b2").Trace
				for i := range w.Spans {
					if w.Spans[i].Trace == b {
						w.Spans[i].Trace = a
					}
				}
			},
			want: map[string]int{Merged: 1, WrongParent: 0, Split: 0},
		},
		"root with a parent": {
			harm: func(t *testing.T, w *world) {
				w.at(t, "frontend", "SERVER", "/checkout/a1").Parent = w.at(t, "frontend", "CLIENT", "/stock/b2").ID
			},
			want: map[string]int{WrongParent: 1},
		},
		"root with an unknown parent": {
			harm: func(t *testing.T, w *world) {
				w.at(t, "frontend", "SERVER", "/checkout/a1").Parent = pcommon.SpanID{1: 7}
			},
			want: map[string]int{WrongParent: 1},
		},
		"background call linked to a request": {
			harm: func(t *testing.T, w *world) {
				s, to := w.at(t, "catalog", "CLIENT", "/background/catalog-2"), w.at(t, "catalog", "SERVER", "/item/a1/details")
				s.Parent, s.Trace = to.ID, to.Trace
			},
			want: map[string]int{WrongParent: 1, Merged: 1}, min: map[string]int{Split: 1},
		},
		"background call linked within its trace id": {
			harm: func(t *testing.T, w *world) {
				w.at(t, "catalog", "CLIENT", "/background/catalog-2").Parent = w.at(t, "catalog", "SERVER", "/item/a1/details").ID
			},
			want: map[string]int{WrongParent: 1},
		},
		"first background call linked": {
			harm: func(t *testing.T, w *world) {
				w.remove(w.at(t, "catalog", "CLIENT", "/background/catalog-1"))
				w.at(t, "pricing", "SERVER", "/background/catalog-1").Parent = w.at(t, "frontend", "CLIENT", "/stock/b2").ID
			},
			want: map[string]int{WrongParent: 1},
		},
		"background call between others lost an end": {
			harm: func(t *testing.T, w *world) { w.remove(w.at(t, "catalog", "CLIENT", "/background/catalog-2")) },
			want: map[string]int{Missing: 1},
		},
		"background call at the edge lost an end": {
			harm: func(t *testing.T, w *world) {
				w.remove(w.at(t, "pricing", "SERVER", "/background/catalog-4"))
				w.remove(w.at(t, "catalog", "CLIENT", "/background/catalog-1"))
				w.at(t, "pricing", "SERVER", "/background/catalog-1").Parent = pcommon.SpanID{}
			},
			want: map[string]int{},
		},
		"request linked below a background call": {
			harm: func(t *testing.T, w *world) {
				w.at(t, "frontend", "CLIENT", "/stock/a1").Parent = w.at(t, "pricing", "SERVER", "/background/catalog-2").ID
			},
			want: map[string]int{WrongParent: 1, Split: 1},
		},
		"redis command without parent": {
			harm: func(t *testing.T, w *world) {
				w.redisOf(t, "a1", 0).Parent = pcommon.SpanID{}
			},
			want: map[string]int{Orphan: 1, Missing: 1},
		},
		"redis command below the other request": {
			harm: func(t *testing.T, w *world) {
				a, b := w.redisOf(t, "a1", 3), w.redisOf(t, "b2", 3)
				require.NotEqual(t, a.Redis, b.Redis)
				a.Parent, b.Parent = b.Parent, a.Parent
			},
			want: map[string]int{WrongParent: 2, Missing: 2}, min: map[string]int{Split: 2},
		},
		"redis server span below another command": {
			harm: func(t *testing.T, w *world) {
				a, b := w.redisOf(t, "a1", 3), w.redisOf(t, "b2", 3)
				for i := range w.Spans {
					if w.Spans[i].Parent == a.ID {
						w.Spans[i].Parent = b.ID
						break
					}
				}
			},
			min: map[string]int{WrongParent: 1, Missing: 1},
		},
		"redis server span of another connection": {
			harm: func(t *testing.T, w *world) {
				a := w.redisOf(t, "a1", 3)
				a.LocalPort, a.PeerPort = 1000, 6379
				for i := range w.Spans {
					if w.Spans[i].Parent == a.ID {
						w.Spans[i].LocalPort, w.Spans[i].PeerPort = 6379, 1001
					}
				}
			},
			want: map[string]int{WrongParent: 1, Missing: 1},
		},
		"redis server span without parent": {
			harm: func(t *testing.T, w *world) {
				w.at(t, "redis", "SERVER", w.redisOf(t, "a1", 3).Redis).Parent = pcommon.SpanID{}
			},
			want: map[string]int{Orphan: 1, Missing: 1},
		},
		"one exchange twice": {
			harm: func(t *testing.T, w *world) {
				s := *w.at(t, "tax", "SERVER", "/tax/a1/taxed")
				s.ID = pcommon.SpanID{1: 1}
				w.Spans = append(w.Spans, s)
			},
			want: map[string]int{Duplicate: 1},
		},
		"one span id twice": {
			harm: func(t *testing.T, w *world) { w.Spans = append(w.Spans, w.Spans[3]) },
			want: map[string]int{Duplicate: 1},
		},
		"call outside its parent's time": {
			harm: func(t *testing.T, w *world) {
				s := w.at(t, "tax", "SERVER", "/tax/a1/taxed")
				s.Start, s.End = s.Start+500*ms, s.End+500*ms
			},
			want: map[string]int{OutsideTime: 1},
		},
		"call before its parent": {
			harm: func(t *testing.T, w *world) { w.at(t, "tax", "SERVER", "/tax/a1/taxed").Start -= 500 * ms },
			want: map[string]int{OutsideTime: 1},
		},
		"link without evidence": {
			harm: func(t *testing.T, w *world) { w.at(t, "tax", "SERVER", "/tax/a1/taxed").Rule = "" },
			want: map[string]int{NoEvidence: 1},
		},
		"pending span came through": {
			harm: func(t *testing.T, w *world) { w.at(t, "tax", "SERVER", "/tax/a1/taxed").Pending = true },
			want: map[string]int{PendingSpan: 1, Missing: 1},
		},
		"process of somebody else": {
			harm: func(t *testing.T, w *world) {
				s := *w.at(t, "tax", "SERVER", "/tax/a1/taxed")
				s.ID, s.Service, s.Path, s.Trace = pcommon.SpanID{1: 1}, "sshd", "", pcommon.TraceID{15: 9}
				w.Spans = append(w.Spans, s)
			},
			want: map[string]int{ForeignTrace: 1},
		},
		"call nobody planned": {
			harm: func(t *testing.T, w *world) {
				s := *w.at(t, "tax", "SERVER", "/tax/a1/taxed")
				s.ID, s.Path = pcommon.SpanID{1: 1}, "/tax/a1/again"
				w.Spans = append(w.Spans, s)
			},
			want: map[string]int{Unexpected: 1},
		},
		"span without ids": {
			harm: func(t *testing.T, w *world) { w.at(t, "tax", "SERVER", "/tax/a1/taxed").ID = pcommon.SpanID{} },
			want: map[string]int{Unexpected: 1, Missing: 1},
		},
		"span without trace id": {
			harm: func(t *testing.T, w *world) { w.at(t, "tax", "SERVER", "/tax/a1/taxed").Trace = pcommon.TraceID{} },
			want: map[string]int{Unexpected: 1, Missing: 1},
		},
		"one command has two SERVER spans": {
			harm: func(t *testing.T, w *world) {
				c := w.redisOf(t, "a1", 3)
				for _, s := range w.Spans {
					if s.Parent == c.ID {
						s.ID = pcommon.SpanID{1: 1}
						w.Spans = append(w.Spans, s)
						break
					}
				}
			},
			want: map[string]int{Duplicate: 1},
		},
		"the SERVER span of a command is of another service": {
			harm: func(t *testing.T, w *world) {
				c := w.redisOf(t, "a1", 3)
				for i := range w.Spans {
					if w.Spans[i].Parent == c.ID {
						w.Spans[i].Service = "tax"
					}
				}
			},
			want: map[string]int{WrongParent: 1, Missing: 1},
		},
		"background call twice": {
			harm: func(t *testing.T, w *world) {
				s := *w.at(t, "catalog", "CLIENT", "/background/catalog-2")
				s.ID = pcommon.SpanID{1: 1}
				w.Spans = append(w.Spans, s)
			},
			want: map[string]int{Duplicate: 1},
		},
		"background call of a service that makes none": {
			harm: func(t *testing.T, w *world) {
				w.at(t, "catalog", "CLIENT", "/background/catalog-2").Service = "tax"
			},
			want: map[string]int{Unexpected: 1},
		},
		"background call between others lost its SERVER end": {
			harm: func(t *testing.T, w *world) { w.remove(w.at(t, "pricing", "SERVER", "/background/catalog-3")) },
			want: map[string]int{Missing: 1},
		},
		"redis command whose parent did not come": {
			harm: func(t *testing.T, w *world) { w.redisOf(t, "a1", 3).Parent = pcommon.SpanID{1: 1} },
			want: map[string]int{Orphan: 1, Missing: 1},
		},
		"redis command below a call": {
			harm: func(t *testing.T, w *world) {
				w.redisOf(t, "a1", 3).Parent = w.at(t, "pricing", "CLIENT", "/tax/a1/taxed").ID
			},
			want: map[string]int{WrongParent: 1, Missing: 1},
		},
		"redis SERVER span below an HTTP span": {
			harm: func(t *testing.T, w *world) {
				w.at(t, "redis", "SERVER", w.redisOf(t, "a1", 3).Redis).Parent = w.at(t, "pricing", "SERVER", "/price/a1/cached").ID
			},
			want: map[string]int{WrongParent: 1, Missing: 1},
		},
		"a path that no service has": {
			harm: func(t *testing.T, w *world) {
				s := *w.at(t, "tax", "SERVER", "/tax/a1/taxed")
				s.ID, s.Path, s.Trace = pcommon.SpanID{1: 1}, "/health", pcommon.TraceID{15: 9}
				s.Parent = pcommon.SpanID{}
				w.Spans = append(w.Spans, s)
			},
			want: map[string]int{Unexpected: 1},
		},
		"warm-up span inside a checked trace": {
			harm: func(t *testing.T, w *world) {
				w.at(t, "tax", "SERVER", "/tax/warm-1/taxed").Trace = w.at(t, "tax", "SERVER", "/tax/a1/taxed").Trace
			},
			want: map[string]int{Merged: 1},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, load := perfect()
			require.True(t, Run(load, w.Spans).OK())
			tt.harm(t, w)
			r := Run(load, w.Spans)
			require.Equal(t, len(tt.want)+len(tt.min) == 0, r.OK(), "%v", r.Findings)
			for p, n := range tt.want {
				require.Equal(t, n, r.Count(p), "%s: %v", p, r.Findings)
			}
			for p, n := range tt.min {
				require.GreaterOrEqual(t, r.Count(p), n, "%s: %v", p, r.Findings)
			}
			if tt.min == nil {
				total := 0
				for _, n := range tt.want {
					total += n
				}
				require.Len(t, r.Findings, total, "nothing else is wrong: %v", r.Findings)
			}
		})
	}
}

// redisOf is the CLIENT span of a checkout's nth command.
func (w *world) redisOf(t *testing.T, id string, n int) *span.Span {
	t.Helper()
	parent := w.at(t, "inventory", "SERVER", "/stock/"+id)
	if n == 3 {
		parent = w.at(t, "pricing", "SERVER", "/price/"+id+"/cached")
	}
	for i := range w.Spans {
		if s := &w.Spans[i]; s.Parent == parent.ID && s.Redis == plan.RedisOp(id, n) {
			return s
		}
	}
	t.Fatalf("no command %d of %s", n, id)
	return nil
}

func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	w, load := perfect()
	w.at(t, "frontend", "CLIENT", "/stock/a1").Parent = w.at(t, "frontend", "SERVER", "/checkout/b2").ID
	first := Run(load, w.Spans)
	for i, j := 0, len(w.Spans)-1; i < j; i, j = i+1, j-1 {
		w.Spans[i], w.Spans[j] = w.Spans[j], w.Spans[i]
	}
	second := Run(load, w.Spans)
	require.Equal(t, first.Problems(), second.Problems())
	require.Equal(t, first.Spans, second.Spans)
}
