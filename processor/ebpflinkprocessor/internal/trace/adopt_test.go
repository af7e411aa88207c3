package trace

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/sampling"
)

// family is a request and calls of it, which come in any order.
type family struct {
	x *link.Index
	b *Book
}

func newFamily() *family {
	x := link.New(link.RuleNames(), tolerance)
	return &family{x, NewBook(x, Options{})}
}

func (f *family) add(fact link.Fact) link.ID {
	fact.Raw, fact.Host = true, 1
	id := f.x.Add(fact)
	f.b.Add(id)
	return id
}

func (f *family) request(span byte, start int64) link.ID {
	return f.add(link.Fact{Span: link.SpanID{span}, Role: link.Server, Systrace: 7, Start: start, End: 1000})
}

func (f *family) call(span byte) link.ID {
	return f.add(link.Fact{Span: link.SpanID{span, 1}, Role: link.Client, Systrace: 7, Anchor: link.SpanID{9}, Start: 10 + int64(span), End: 500})
}

// leave lets id leave.
func (f *family) leave(id link.ID) (m Member, a *Adoptions) {
	for _, m := range f.b.Gather(id) {
		if m.ID == id {
			f.b.Leave(&m, 1)
			return m, f.b.Adopt(&m)
		}
	}
	panic("it is not among its own")
}

func TestAParentNamesWhoLeftBefore(t *testing.T) {
	f := newFamily()
	first, second, third := f.call(2), f.call(1), f.call(3)
	for _, id := range []link.ID{first, second} {
		m, a := f.leave(id)
		require.Equal(t, Alone, m.Bond())
		require.Nil(t, a)
	}
	request := f.request(9, 0)
	m, a := f.leave(request)
	require.Len(t, a.Children, 2)
	for i, span := range []link.SpanID{{1, 1}, {2, 1}} {
		require.Equal(t, span, a.Children[i].Span, "in the order of their start")
		require.Equal(t, m.Trace, a.Children[i].Trace)
		require.Equal(t, link.Systrace, a.Children[i].Edge.Rule)
	}
	m, a = f.leave(third)
	require.Equal(t, link.SpanID{9}, m.Parent, "who has not left says it itself")
	require.Nil(t, a)
	require.Nil(t, f.b.Adopt(&Member{ID: request}), "once")
}

func TestWhoIsNotAdopted(t *testing.T) {
	t.Run("ambiguous when it left", func(t *testing.T) {
		f := newFamily()
		one, other := f.request(8, 0), f.request(9, 0)
		m, _ := f.leave(f.call(1))
		require.Equal(t, Doubtful, m.Bond())
		// One of the two is forgotten, so the other is the only one left.
		f.leave(other)
		f.b.Forget([]link.ID{other})
		f.x.Remove([]link.ID{other})
		_, a := f.leave(one)
		require.Nil(t, a)
	})
	t.Run("not exported", func(t *testing.T) {
		f := newFamily()
		call := f.call(1)
		f.b.Restore(call, link.TraceID{1}, Alone, sampling.DroppedByRatio, 1)
		_, a := f.leave(f.request(9, 0))
		require.Nil(t, a)
	})
	t.Run("more than one names", func(t *testing.T) {
		f := newFamily()
		for i := range mostAdopted + 2 {
			f.leave(f.call(byte(i)))
		}
		_, a := f.leave(f.request(9, 0))
		require.Len(t, a.Children, mostAdopted)
		require.Equal(t, 2, a.Beyond)
	})
	t.Run("its parent's parent waits", func(t *testing.T) {
		f := newFamily()
		call := f.call(1)
		f.leave(call)
		// The request names a call that is here and stays.
		above := f.add(link.Fact{Span: link.SpanID{5}, Role: link.Client, ReqSeq: 5, RespSeq: 6, End: 1000})
		request := f.add(link.Fact{Span: link.SpanID{9}, Role: link.Server, Systrace: 7, ReqSeq: 5, RespSeq: 6, End: 900})
		m, a := f.leave(request)
		require.Equal(t, link.SpanID{5}, m.Parent)
		require.Equal(t, &Adoptions{Unsettled: 1}, a)
		_, a = f.leave(above)
		require.Nil(t, a)
	})
	t.Run("its parent is below it", func(t *testing.T) {
		f := newFamily()
		call := f.add(link.Fact{Span: link.SpanID{1}, Role: link.Client, Systrace: 7, ReqSeq: 5, RespSeq: 6, Start: 10, End: 500})
		f.leave(call)
		request := f.add(link.Fact{Span: link.SpanID{9}, Role: link.Server, Systrace: 7, ReqSeq: 5, RespSeq: 6, Start: 10, End: 500})
		m, a := f.leave(request)
		require.Equal(t, link.SpanID{1}, m.Parent)
		require.Equal(t, &Adoptions{Above: 1}, a)
	})
}

func TestBondsAreWrittenDown(t *testing.T) {
	for _, b := range []Bond{Doubtful, Alone, Parented} {
		require.Equal(t, b, BondOf(b == Parented, b == Alone))
		f := newFamily()
		call := f.call(1)
		f.b.Restore(call, link.TraceID{1}, b, sampling.Kept, 1)
		_, a := f.leave(f.request(9, 0))
		require.Equal(t, b == Alone, a != nil)
	}
}

// BenchmarkAdopt is what a span costs, leaving only, of a request and its calls: all at once, and where the calls left
// before the request came, which names them or does not ask for them.
func BenchmarkAdopt(b *testing.B) {
	for _, calls := range []int{4, 128} {
		for _, name := range []string{"together", "late", "late and named"} {
			late := name != "together"
			b.Run(fmt.Sprintf("%d calls/%s", calls, name), func(b *testing.B) {
				const requests = 100
				adopted := 0
				b.ReportAllocs()
				for range b.N {
					b.StopTimer()
					f := newFamily()
					leave := func(due link.ID) {
						for _, m := range f.b.Gather(due) {
							f.b.Leave(&m, 1)
							if name == "late" {
								continue
							}
							if a := f.b.Adopt(&m); a != nil {
								adopted += len(a.Children)
							}
						}
					}
					var of [requests][]link.ID
					for i := range of {
						at := int64(i) * 2000
						for n := range calls {
							of[i] = append(of[i], f.add(link.Fact{
								Span: link.SpanID{byte(n), 1, byte(i)}, Role: link.Client, Systrace: uint64(i + 1), Start: at + int64(n), End: at + 500,
							}))
						}
					}
					come := func(i int) link.ID {
						at := int64(i) * 2000
						return f.add(link.Fact{Span: link.SpanID{9, 2, byte(i)}, Role: link.Server, Systrace: uint64(i + 1), Start: at, End: at + 1000})
					}
					var request [requests]link.ID
					for i := range request {
						if !late {
							request[i] = come(i)
						}
					}
					b.StartTimer()
					for i := range of {
						for _, id := range of[i] {
							if f.b.Waits(id) {
								leave(id)
							}
						}
					}
					b.StopTimer()
					for i := range request {
						if late {
							request[i] = come(i)
						}
					}
					b.StartTimer()
					for _, id := range request {
						if f.b.Waits(id) {
							leave(id)
						}
					}
				}
				spans := float64(b.N * requests * (calls + 1))
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/spans, "ns/span")
				b.ReportMetric(float64(adopted)/spans, "adopted/span")
			})
		}
	}
}
