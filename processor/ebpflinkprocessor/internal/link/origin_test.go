package link

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOrigins: each is kept once, as long as a fact has it, and its number is then another's.
func TestOrigins(t *testing.T) {
	x := New(RuleNames(), apart)
	at := func(n byte, h uint64, service uint32, confidence float32) Fact {
		f := client(n, 10, host(h))
		f.Service, f.HintConfidence = service, confidence
		return f
	}
	facts := []Fact{at(1, 1, 2, 0.5), at(2, 1, 2, 0.5), at(3, 1, 2, 0.7), at(4, 1, 3, 0.5), at(5, 2, 2, 0.5), at(6, 0, 0, 0)}
	var ids []ID
	for _, f := range facts {
		ids = append(ids, x.Add(f))
	}
	require.Len(t, x.origins.all, 5, "four, and nothing")
	for i, f := range facts {
		v := x.View(ids[i])
		require.Equal(t, originOf(&f), *v.origin)
	}
	x.Remove(ids[:1])
	require.Len(t, x.origins.at, 4, "another has it")
	x.Replace(ids[1], facts[4], Rare{})
	require.Len(t, x.origins.at, 3)
	require.Equal(t, facts[4].Host, x.View(ids[1]).Host)
	x.Add(at(7, 9, 9, 0.9))
	require.Len(t, x.origins.all, 5, "in the place of what has gone")
	x.Remove(ids[1:])
	require.Len(t, x.origins.at, 1)
	require.EqualValues(t, 1, x.origins.all[x.origins.last].uses)
}
