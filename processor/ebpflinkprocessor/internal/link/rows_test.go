package link

import (
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each row has a bit of Edge.Ambiguous, and each domain a number of domainBits.
func TestRowsAndDomainsHaveRoom(t *testing.T) {
	require.LessOrEqual(t, len(rows), bits.Len64(^Edge{}.Ambiguous))
	require.Less(t, domainSeq, domain(1<<domainBits), "the last one")
}
