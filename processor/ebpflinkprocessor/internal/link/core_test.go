package link

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestSizes: millions of these wait; design.md says how large they are.
func TestSizes(t *testing.T) {
	require.EqualValues(t, 88, unsafe.Sizeof(core{}))
	require.EqualValues(t, 64, unsafe.Sizeof(farther{}))
	require.EqualValues(t, 16, unsafe.Sizeof(held[sides]{}))
}

// TestFactIsKept: what the Index has of a fact is what came, whatever it has place for where.
func TestFactIsKept(t *testing.T) {
	plain := Fact{
		Span: SpanID{1}, Raw: true, Role: Client, Host: 2, Systrace: 3, Pseudo: 4, Start: 5, End: 6, ReqSeq: 7, RespSeq: 8,
		Local: Endpoint{Addr: 9, Port: 10}, Peer: Endpoint{Addr: 11, Port: 12}, Service: 13, Calls: 14,
	}
	for _, change := range []func(*Fact){
		func(*Fact) {},
		func(f *Fact) { f.HintConfidence = .95 },
		func(f *Fact) { f.HintConfidence = 1 },
		func(f *Fact) { f.HintConfidence = .123 },
		func(f *Fact) { f.HintConfidence = 300 },
		func(f *Fact) { f.HintConfidence = -1 },
		func(f *Fact) { f.Peer.Untraced = true },
		func(f *Fact) { f.Local.Untraced = true },
		func(f *Fact) { f.Pending, f.LateOf = true, 15 },
		func(f *Fact) { f.CtxTrace, f.CtxParent, f.NotSampled = TraceID{16}, SpanID{17}, true },
		func(f *Fact) { f.Raw, f.OwnTrace, f.Anchor = false, TraceID{18}, SpanID{19} },
	} {
		f := plain
		change(&f)
		x := New(RuleNames(), apart)
		var got Fact
		id := x.Add(plain)
		x.Replace(id, f, Rare{})
		x.Read(id, &got)
		require.Equal(t, f, got)
		x.Replace(id, plain, Rare{})
		x.Read(id, &got)
		require.Equal(t, plain, got)
	}
	for n := range 101 {
		require.Equal(t, uint8(n), hundredths(float32(float64(n)/100)))
	}
}
