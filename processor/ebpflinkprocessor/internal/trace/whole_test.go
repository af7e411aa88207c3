package trace

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// counted fills x with traces of 1 + 2*n spans that are whole, and returns their roots: a request from outside
// that makes n calls.
func counted(x *link.Index, b *Book, traces, n int) (roots []link.ID) {
	id := uint64(0)
	add := func(f link.Fact) link.ID {
		id++
		binary.BigEndian.PutUint64(f.Span[:], id)
		f.Raw = true
		i := x.Add(f)
		b.Add(i)
		return i
	}
	for i := range traces {
		systrace, at := uint64(1+i*1000), int64(i)*1e6
		for k := range n {
			seq := uint32(1 + 2*(i*n+k))
			add(link.Fact{Role: link.Client, Host: 1, Systrace: systrace, ReqSeq: seq, RespSeq: seq + 1, Start: at + 10, End: at + 80})
			add(link.Fact{Role: link.Server, Host: 2, Systrace: systrace + uint64(k) + 1, ReqSeq: seq, RespSeq: seq + 1, Start: at + 20, End: at + 70, Calls: 1})
		}
		roots = append(roots, add(link.Fact{
			Role: link.Server, Host: 1, Systrace: systrace, ReqSeq: 1 << 31, RespSeq: uint32(i) + 1, Start: at, End: at + 100,
			Calls: uint8(n) + 1, Peer: link.Endpoint{Untraced: true},
		}))
	}
	return roots
}

func TestWholeIsBounded(t *testing.T) {
	for n, whole := range map[int]bool{0: true, 1: true, 200: true} {
		x := link.New(link.RuleNames(), tolerance)
		b := NewBook(x, Options{})
		roots := counted(x, b, 3, n)
		for _, root := range roots {
			require.Equal(t, whole, b.Whole(root), "%d calls", n)
		}
		// And what is whole is what leaves.
		require.Len(t, b.Gather(roots[0]), 1+2*n)
		require.False(t, b.Whole(roots[0]), "its id is fixed: it has left, in part at least")
	}
	// A chain longer than a proof may be.
	x := link.New(link.RuleNames(), tolerance)
	b := NewBook(x, Options{})
	for i := range uint32(maxProof) {
		seq := 2*i + 1
		f := link.Fact{Raw: true, Role: link.Client, Host: 1, Systrace: uint64(i), ReqSeq: seq, RespSeq: seq + 1, End: 100}
		binary.BigEndian.PutUint32(f.Span[:], seq)
		b.Add(x.Add(f))
		f.Role, f.Systrace, f.Calls = link.Server, uint64(i)+1, 2
		if i == maxProof-1 {
			f.Calls = 1
		}
		f.Span[7] = 1
		b.Add(x.Add(f))
	}
	require.False(t, b.Whole(0))
}

func BenchmarkWhole(b *testing.B) {
	x := link.New(link.RuleNames(), tolerance)
	book := NewBook(x, Options{})
	roots := counted(x, book, 2000, 3)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if !book.Whole(roots[i%len(roots)]) {
			b.Fatal("not whole")
		}
	}
}

// TestSizes: each fact has an entry, and a fate once it is decided; design.md says how large they are.
func TestSizes(t *testing.T) {
	require.EqualValues(t, 12, unsafe.Sizeof(entry{}))
	require.EqualValues(t, 32, unsafe.Sizeof(fate{}))
}
