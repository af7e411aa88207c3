package link

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLimits at their ends, of a child of a request that takes from 0 to 100 ms.
func TestLimits(t *testing.T) {
	limited := func(kind limitKind) limit { return limit{kind: kind, allow: 5 * time.Millisecond, share: 10} }
	open := server(2, 0, pending)
	for name, tt := range map[string]struct {
		limit      limit
		in, out    Fact
		says       verdict
		openParent verdict
	}{
		"not before":     {limited(notBefore), client(1, -5), client(1, -6), beforeRequest, beforeRequest},
		"not after":      {limited(notAfter), client(1, 105), client(1, 106), afterResponse, admitted},
		"ends inside":    {limited(endsInside), client(1, 5), client(1, 6), outlives, admitted},
		"not longer":     {limited(notLonger), client(1, 500, lasts(105)), client(1, 500, lasts(106)), longer, admitted},
		"nearly as long": {limited(nearlyAsLong), client(1, 500, lasts(85)), client(1, 500, lasts(84)), unfilled, unended},
		"neither open":   {limited(nearlyAsLong), client(1, 500), client(1, 500, pending), unended, unended},
	} {
		t.Run(name, func(t *testing.T) {
			x := New(RuleNames(), 0)
			says := func(c, p Fact) string {
				return x.judge([]limit{{kind: notBefore, allow: time.Hour}, tt.limit}, x.View(x.Add(c)), x.View(x.Add(p))).String()
			}
			require.Equal(t, admitted.String(), says(tt.in, server(2, 0)))
			require.Equal(t, tt.says.String(), says(tt.out, server(2, 0)))
			require.Equal(t, tt.openParent.String(), says(tt.out, open))
			tt.limit.of = func(_ *Index, _, p View) bool { return p.Span == span(3) }
			require.Equal(t, admitted.String(), says(tt.out, server(2, 0)), "it is not asked of these two")
			require.Equal(t, tt.says.String(), says(tt.out, server(3, 0)))
		})
	}
}
