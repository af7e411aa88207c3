package link

import (
	"encoding/binary"
	"math"
	"math/rand"
	"reflect"
	"testing"
	"testing/quick"

	"github.com/stretchr/testify/require"
)

// leaves calls fn with each settable field of v that is no struct.
func leaves(v reflect.Value, path string, fn func(string, reflect.Value)) {
	if v.Kind() != reflect.Struct {
		fn(path, v)
		return
	}
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() {
			leaves(v.Field(i), path+"."+v.Type().Field(i).Name, fn)
		}
	}
}

// TestStoredFactHasEveryField: whoever adds a field is told that a restart would forget it.
func TestStoredFactHasEveryField(t *testing.T) {
	type both struct {
		Fact Fact
		Rare Rare
	}
	random := rand.New(rand.NewSource(1))
	fields := 0
	var all both
	leaves(reflect.ValueOf(&all).Elem(), "", func(string, reflect.Value) { fields++ })
	for n := range fields {
		var one both
		i, name := 0, ""
		leaves(reflect.ValueOf(&one).Elem(), "", func(path string, v reflect.Value) {
			if i++; i != n+1 {
				return
			}
			name = path
			for v.IsZero() {
				x, ok := quick.Value(v.Type(), random)
				require.True(t, ok)
				v.Set(x)
			}
			if path == ".Fact.Role" {
				v.SetUint(uint64(Client))
			}
		})
		stored := AppendFact([]byte{9}, &one.Fact, &one.Rare)
		f, r, rest, err := ReadFact(append(stored, 7)[1:])
		require.NoError(t, err)
		require.Equal(t, []byte{7}, rest)
		require.Equal(t, one, both{f, r}, name)
		if len(stored) > 5 {
			_, _, _, err = ReadFact(stored[1 : len(stored)-1])
			require.ErrorIs(t, err, ErrStored, name)
		}
	}
	f := Fact{Raw: true, OwnTrace: TraceID{1}}
	got, _, _, err := ReadFact(AppendFact(nil, &f, &nothing))
	require.NoError(t, err)
	require.Equal(t, Fact{Raw: true}, got)
	_, _, _, err = ReadFact(binary.LittleEndian.AppendUint32(nil, 1<<31))
	require.ErrorIs(t, err, ErrStored, "a field of a later version")
}

func FuzzStoredFact(f *testing.F) {
	f.Add(AppendFact(nil, &Fact{Span: SpanID{1}, Start: 5, Role: Server, Raw: true}, &Rare{RequestID: 3}))
	f.Add(AppendFact(nil, &Fact{OwnTrace: TraceID{1}, ReqSeq: 5, Local: Endpoint{1, 2, true}, HintConfidence: 1}, &Rare{}))
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		fact, rare, rest, err := ReadFact(b)
		if err != nil {
			require.ErrorIs(t, err, ErrStored)
			return
		}
		require.LessOrEqual(t, len(rest), len(b)-4)
		if math.IsNaN(float64(fact.HintConfidence)) {
			return
		}
		if fact.Raw {
			fact.OwnTrace = TraceID{}
		}
		again, rareAgain, _, err := ReadFact(AppendFact(nil, &fact, &rare))
		require.NoError(t, err)
		require.Equal(t, fact, again)
		require.Equal(t, rare, rareAgain)
	})
}

func BenchmarkAppendFact(b *testing.B) {
	f := Fact{
		Span: SpanID{1}, OwnTrace: TraceID{2}, Host: 3, Systrace: 4, Start: 5, End: 6, ReqSeq: 7, RespSeq: 8,
		Local: Endpoint{9, 10, false}, Peer: Endpoint{11, 12, false}, Raw: true, Role: Client, Anchor: SpanID{13},
		Service: 14,
	}
	buf := make([]byte, 0, 1<<20)
	b.ReportAllocs()
	for range b.N {
		if len(buf) > 1<<20-256 {
			buf = buf[:0]
		}
		buf = AppendFact(buf, &f, &nothing)
	}
	b.ReportMetric(float64(len(AppendFact(nil, &f, &nothing))), "bytes/fact")
}
