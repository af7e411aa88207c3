package ebpflinkprocessor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

// A call that began after the response of the request that it comes from: a trace of its own, with a link
// to the request, wherever the ids of that trace came from.
func TestLateCallLinksToItsRequest(t *testing.T) {
	for name, lateIn := range map[string]string{"its host": "b", "another host": "c"} {
		for _, keep := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, func(c *Config) { c.KeepLinkAttrs = keep })
				c1, s1 := call(1, 2, "a", "b", 0, 10, 10, 0, 7)
				c1.link.AppTraceID, c1.link.AppParentID = traceID(5), spanID(50)
				late, _ := call(3, 0, lateIn, "", 20, 10, 30, 0, 0)
				late.link.LateOf = 7
				r.consume(c1, s1)
				r.pass(time.Second)
				r.consume(late)
				r.pass(30 * time.Second)
				sp := r.sink.one(t, 3)
				require.Zero(t, parentOf(sp), "no child of a request that was over")
				require.NotEqual(t, traceID(5), sp.TraceID())
				_, stays := sp.Attributes().Get(rawspan.AttrLateOf)
				require.Equal(t, keep, stays)
				if lateIn != "b" {
					require.Zero(t, sp.Links().Len())
					return
				}
				require.Equal(t, 1, sp.Links().Len())
				require.Equal(t, traceID(5), sp.Links().At(0).TraceID())
				require.Equal(t, spanID(2), sp.Links().At(0).SpanID())
				require.Equal(t, map[string]any{rawspan.AttrLate: true}, sp.Links().At(0).Attributes().AsRaw())
			})
		}
	}
	t.Run("request never seen", func(t *testing.T) {
		r := newRig(t)
		late, _ := call(3, 0, "b", "", 20, 10, 30, 0, 0)
		late.link.LateOf = 7
		r.consume(late)
		r.pass(30 * time.Second)
		require.Zero(t, r.sink.one(t, 3).Links().Len())
	})
}
