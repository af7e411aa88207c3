package ebpflinkprocessor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

// A request that comes after its calls and its own call have left names the calls in span links, which joins the two
// traces that came of it.
func TestALateParentNamesItsChildren(t *testing.T) {
	for _, n := range []int{1, 128, 130} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRig(t)
			c1, s1 := call(1, 2, "a", "b", 0, 1000, 10, 0, 7)
			var calls []spanSpec
			for i := range n {
				c, _ := call(uint64(100+i), 0, "b", "", 10+i, 10, uint32(1000+10*i), 7, 0)
				calls = append(calls, c)
			}
			r.consume(append(calls, c1)...)
			r.pass(30 * time.Second)
			last, _ := call(99, 0, "b", "", 500, 10, 500, 7, 0)
			r.consume(s1)
			r.pass(10 * time.Second)
			r.consume(last)
			r.pass(30 * time.Second)

			parent := r.sink.one(t, 2)
			require.Equal(t, r.sink.one(t, 1).TraceID(), parent.TraceID())
			require.NotEqual(t, parent.TraceID(), r.sink.one(t, 100).TraceID(), "both had left, and nothing was between them")
			require.Zero(t, parentOf(r.sink.one(t, 100)), "it had left")
			require.EqualValues(t, 2, parentOf(r.sink.one(t, 99)), "it had not")
			named := min(n, 128)
			require.Equal(t, named, parent.Links().Len())
			require.EqualValues(t, n-named, parent.DroppedLinksCount())
			for i := range named {
				l := parent.Links().At(i)
				require.Equal(t, r.sink.one(t, 100).TraceID(), l.TraceID())
				require.Equal(t, spanID(uint64(100+i)), l.SpanID())
				require.Equal(t, map[string]any{
					rawspan.AttrChild: true, rawspan.AttrRule: "systrace", rawspan.AttrConfidence: 1.0, rawspan.AttrCandidates: int64(1),
				}, l.Attributes().AsRaw())
			}
			require.EqualValues(t, named, r.metric("spans_adopted", "systrace"))
			require.EqualValues(t, n-named, r.metric("spans_orphaned", "link_limit"))
			// It comes again, and says nothing again.
			r.consume(s1)
			r.pass(30 * time.Second)
			require.EqualValues(t, 1, r.metric("spans_duplicate", ""))
		})
	}
}
