package block

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// TestCanShare: with this version of pdata values are shared. Should it fail with another, spans still come out, for
// twice the time; see what has changed.
func TestCanShare(t *testing.T) { require.True(t, CanShare()) }

// TestPoolsAreNotShared: pdata that uses objects again would empty those of other spans.
func TestPoolsAreNotShared(t *testing.T) {
	gates := featuregate.GlobalRegistry()
	require.NoError(t, gates.Set("pdata.useProtoPooling", true))
	defer func() { require.NoError(t, gates.Set("pdata.useProtoPooling", false)) }()
	require.False(t, CanShare())
}

// TestOtherLayoutsAreRefused: what pdata might make of a value one day.
func TestOtherLayoutsAreRefused(t *testing.T) {
	type known struct{ Value any }
	require.True(t, asKnown(reflect.TypeFor[struct {
		Orig  *known
		State *int
	}]()))
	for _, other := range []reflect.Type{
		reflect.TypeFor[*known](),
		reflect.TypeFor[struct{}](),
		reflect.TypeFor[struct{ Orig known }](),
		reflect.TypeFor[struct{ Orig *any }](),
		reflect.TypeFor[struct{ Orig *struct{ Value error } }](),
		reflect.TypeFor[struct {
			Orig *struct{ Value unsafe.Pointer }
		}](),
		reflect.TypeFor[struct{ Orig *struct{ A, B any } }](),
		reflect.TypeFor[struct {
			State *int
			Orig  *known
		}](),
	} {
		require.False(t, asKnown(other), other)
	}
}

// TestOtherMapsAreRefused: what pdata might make of a map, or of what it keeps of a value, one day.
func TestOtherMapsAreRefused(t *testing.T) {
	type held struct{ Value any }
	type known struct {
		Value held
		Key   string
		Index int32
	}
	require.True(t, pairsAsKnown(reflect.TypeFor[struct {
		Orig  *[]known
		State *int
	}]()))
	for _, other := range []reflect.Type{
		reflect.TypeFor[*[]known](),
		reflect.TypeFor[struct{}](),
		reflect.TypeFor[struct{ Orig []known }](),
		reflect.TypeFor[struct{ Orig *known }](),
		reflect.TypeFor[struct{ Orig *[]*known }](),
		reflect.TypeFor[struct {
			State *int
			Orig  *[]known
		}](),
		reflect.TypeFor[struct{ Orig *[]struct{ Value held } }](),
		reflect.TypeFor[struct {
			Orig *[]struct {
				Value *held
				Key   string
				Index int32
			}
		}](),
		reflect.TypeFor[struct {
			Orig *[]struct {
				Key   string
				Value held
				Index int32
			}
		}](),
		reflect.TypeFor[struct {
			Orig *[]struct {
				Value held
				Key   string
				Index int64
			}
		}](),
		reflect.TypeFor[struct {
			Orig *[]struct {
				Value held
				Key   string
				Index int32
				More  any
			}
		}](),
	} {
		require.False(t, pairsAsKnown(other), other)
	}
	require.False(t, objectAsKnown[int64](pcommon.NewValueStr("")))
	require.False(t, objectAsKnown[string](pcommon.NewValueInt(0)))
	require.False(t, objectAsKnown[string](pcommon.NewValueEmpty()))
}

// TestChangeOfOneSpan: the next consumer may change a span; the others are as they were.
func TestChangeOfOneSpan(t *testing.T) {
	td := ptrace.NewTraces()
	ss := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for i := range 4 {
		a := ss.AppendEmpty().Attributes()
		a.PutStr("s", "again and again")
		a.PutInt("i", 200)
		a.PutStr("own text", strconv.Itoa(i))
		a.PutInt("own number", int64(i))
		a.PutBool("b", true)
		a.PutDouble("d", .5)
		a.PutEmptySlice("l").AppendEmpty().SetStr("a")
	}
	want := encode(t, td)
	var w Writer
	b, _, err := w.Write(td, nil)
	require.NoError(t, err)
	r := Reader{Share: true}
	for _, change := range []func(pcommon.Map){
		func(m pcommon.Map) { m.PutStr("s", "b"); m.PutInt("i", 1) },
		func(m pcommon.Map) { m.PutInt("s", 1); m.PutStr("i", "b") },
		func(m pcommon.Map) { m.Clear() },
		func(m pcommon.Map) {
			for i := range 2 * pairsAtOnce {
				m.PutInt(strconv.Itoa(i), int64(i))
			}
		},
		func(m pcommon.Map) { m.Remove("s"); m.PutStr("t", "c"); m.PutStr("u", "d") },
		func(m pcommon.Map) {
			m.RemoveIf(func(string, pcommon.Value) bool { return true })
			m.PutEmptyMap("s").PutBool("i", true)
		},
	} {
		got := ptrace.NewTraces()
		require.NoError(t, r.Take(got, b, []uint32{0, 1, 2, 3}, nil))
		require.Equal(t, want, encode(t, got))
		spans := got.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
		was := ptrace.NewSpan()
		spans.At(2).CopyTo(was)
		change(spans.At(2).Attributes())
		require.NotEqual(t, want, encode(t, got))
		spans.At(2).Attributes().Clear()
		was.MoveTo(spans.At(2))
		require.Equal(t, want, encode(t, got))
	}
}

func TestRecent(t *testing.T) {
	var r Recent[float64]
	writes := 0
	for i, tt := range []struct {
		v      float64
		writes int
	}{{0, 1}, {0, 1}, {1, 2}, {1, 2}, {0, 3}, {math.NaN(), 4}, {math.NaN(), 5}, {1, 6}} {
		v := pcommon.NewValueEmpty()
		r.Of(tt.v, func(n float64) pcommon.Value { writes++; return pcommon.NewValueDouble(n) }).Set(v)
		require.Equal(t, pcommon.ValueTypeDouble, v.Type())
		require.Equal(t, math.Float64bits(tt.v), math.Float64bits(v.Double()))
		require.Equal(t, tt.writes, writes, i)
	}
}

// TestPut: what is put is there once, and what was there before stays.
func TestPut(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		got, want := pcommon.NewMap(), pcommon.NewMap()
		for range rnd.IntN(20) {
			k, n := strconv.Itoa(rnd.IntN(10)), rnd.Int64N(3)
			if rnd.IntN(2) == 0 {
				got.PutInt(k, n)
			} else {
				Share(pcommon.NewValueInt(n)).Put(got, k)
			}
			want.PutInt(k, n)
			require.Equal(t, want.AsRaw(), got.AsRaw())
			require.Equal(t, want.Len(), got.Len())
		}
	}
}
