package link

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFind: a span that comes again is found, and none that only looks like it.
func TestFind(t *testing.T) {
	raw := client(1, 10)
	zipkin := server(1, 10)
	elsewhere := client(1, 10, host(9))
	sdk1, sdk2 := sdk(1, Client, 0, 1, 0), sdk(1, Client, 0, 2, 0)
	sdkServer := sdk(1, Server, 0, 1, 0)
	nameless := client(0, 10)
	nameless.Span = SpanID{}
	all := []Fact{raw, zipkin, elsewhere, sdk1, sdk2, sdkServer}
	x := New(RuleNames(), apart)
	for i := range all {
		require.Equal(t, None, x.Find(&all[i]), i)
		id := x.Add(all[i])
		for range 2 {
			require.Equal(t, id, x.Find(&all[i]), i)
		}
	}
	x.Add(nameless)
	require.Equal(t, None, x.Find(&nameless))
	for i := range all {
		x.Remove([]ID{x.Find(&all[i])})
		require.Equal(t, None, x.Find(&all[i]), i)
		for j := i + 1; j < len(all); j++ {
			require.NotEqual(t, None, x.Find(&all[j]), "%d without %d", j, i)
		}
	}
}

// TestFindInCrowd: spans of one id on many hosts are found, each, also after others have come and gone, and
// what finds them goes with them.
func TestFindInCrowd(t *testing.T) {
	const n = 4 * crowdFrom
	at := func(h int) Fact { return client(1, 10, host(uint64(h+1))) }
	x := New(RuleNames(), apart)
	ids := make([]ID, n)
	for h := range n {
		ids[h] = x.Add(at(h))
	}
	check := func(from int) {
		for h := range n {
			f, want := at(h), None
			if h >= from {
				want = ids[h]
			}
			require.Equal(t, want, x.Find(&f), "host %d of those from %d on", h, from)
		}
	}
	check(0)
	// Down to few and up again.
	x.Remove(ids[:n-10])
	check(n - 10)
	for h := range n - 10 {
		ids[h] = x.Add(at(h))
	}
	check(0)
	x.Remove(ids)
	check(n)
	require.Zero(t, x.crowded.Len())
	require.Zero(t, x.keys.Len())
}

// TestContextNamesRawSpan: a header may name a span that came raw, by the trace id that it came with.
func TestContextNamesRawSpan(t *testing.T) {
	root := server(1, 0, lasts(100))
	root.OwnTrace = trace(5)
	twin := server(1, 0, lasts(100), host(7))
	twin.OwnTrace = trace(6)
	child := sdk(2, Client, 10, 5, 1)
	for _, first := range []bool{true, false} {
		x := New(RuleNames(), apart)
		var c ID
		if first {
			c = x.Add(child)
		}
		p := x.Add(root)
		x.Add(twin)
		if !first {
			c = x.Add(child)
		}
		e := x.Resolve(c)
		require.Equal(t, Linked, e.Outcome)
		require.Equal(t, p, e.Parent)
		require.EqualValues(t, 1, e.Candidates)
		var met []ID
		x.Referrers(p, func(id ID) bool { met = append(met, id); return true })
		require.Equal(t, []ID{c}, met)
	}
}

// TestAnchor: what SERVER span a call comes from follows from the name of its host, where that is known.
func TestAnchor(t *testing.T) {
	x := New(RuleNames(), apart)
	f := client(1, 10, systrace(7))
	id := x.Add(f)
	require.Zero(t, x.Anchor(x.View(id)))
	require.True(t, x.Host(f.Host, "node"))
	anchor := x.Anchor(x.View(id))
	require.NotZero(t, anchor)
	require.Equal(t, anchor, x.Fact(id).Anchor)
	f.Anchor, f.Span = span(99), span(2)
	require.Equal(t, span(99), x.Anchor(x.View(x.Add(f))), "what is said holds")
	require.Zero(t, x.Anchor(x.View(x.Add(server(3, 10, systrace(7))))), "a request comes from none")
	require.Zero(t, x.Anchor(x.View(x.AddRare(client(4, 10, systrace(7)), Rare{Foreign: true}))), "other producers have other ids")

	require.False(t, x.Host(0, ""))
	require.False(t, x.Host(1<<40, string(make([]byte, longestHost+1))))
	for i := range uint64(2 * maxHosts) {
		x.Host(1<<50+i, string(binary.LittleEndian.AppendUint64(nil, i)))
	}
	require.Len(t, x.hosts, maxHosts)
	require.False(t, x.Host(1<<41, "one more"))
	require.True(t, x.Host(f.Host, "node"))
}

// TestFarther: what few facts have goes with them.
func TestFarther(t *testing.T) {
	x := New(RuleNames(), apart)
	f := client(1, 10, carries(3, 4))
	f.OwnTrace, f.LateOf, f.NotSampled = TraceID{}, 9, true
	id := x.Add(f)
	require.Equal(t, f, *x.Fact(id))
	other := x.Add(sdk(2, Server, 0, 8, 6))
	require.Equal(t, 2, x.far.all.Len())
	plain := client(1, 10)
	plain.OwnTrace = TraceID{}
	x.Replace(id, plain, Rare{})
	require.Equal(t, plain, *x.Fact(id))
	x.Remove([]ID{other})
	x.Replace(id, f, Rare{})
	x.Add(sdk(2, Server, 0, 8, 6))
	require.Equal(t, 2, x.far.all.Len(), "places are used again")
	require.Equal(t, f, *x.Fact(id))
}
