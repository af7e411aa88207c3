package link

import (
	"math"
	"math/rand"
	"reflect"
	"testing"
	"testing/quick"

	"github.com/stretchr/testify/require"
)

// TestStoredFactHasEveryField: whoever adds a field to Fact is told that a restart forgets it.
func TestStoredFactHasEveryField(t *testing.T) {
	typ := reflect.TypeFor[Fact]()
	for i := range typ.NumField() {
		var f Fact
		field := reflect.ValueOf(&f).Elem().Field(i)
		v, ok := quick.Value(field.Type(), rand.New(rand.NewSource(int64(i+1))))
		require.True(t, ok)
		field.Set(v)
		switch typ.Field(i).Name {
		case "Role":
			f.Role = Client
		case "Raw", "Pending", "NotSampled":
			field.SetBool(true)
		}
		require.False(t, field.IsZero(), typ.Field(i).Name)
		got, rest, err := ReadFact(append(AppendFact(nil, &f), 7))
		require.NoError(t, err)
		require.Equal(t, []byte{7}, rest)
		require.Equal(t, f, got, typ.Field(i).Name)
	}
}

func FuzzStoredFact(f *testing.F) {
	f.Add(AppendFact(nil, &Fact{Span: SpanID{1}, Start: 5, Role: Server, Raw: true}))
	f.Add(AppendFact(nil, &Fact{OwnTrace: TraceID{1}, ReqSeq: 5, Local: Endpoint{1, 2}, HintConfidence: 1}))
	f.Add([]byte{255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		fact, rest, err := ReadFact(b)
		if err != nil {
			require.ErrorIs(t, err, ErrShort)
			return
		}
		require.LessOrEqual(t, len(rest), len(b)-3)
		if math.IsNaN(float64(fact.HintConfidence)) {
			return
		}
		if fact.Raw {
			fact.OwnTrace = TraceID{}
		}
		again, _, err := ReadFact(AppendFact(nil, &fact))
		require.NoError(t, err)
		require.Equal(t, fact, again)
	})
}

func BenchmarkAppendFact(b *testing.B) {
	f := Fact{
		Span: SpanID{1}, OwnTrace: TraceID{2}, Host: 3, Systrace: 4, Start: 5, End: 6, ReqSeq: 7, RespSeq: 8,
		Local: Endpoint{9, 10}, Peer: Endpoint{11, 12}, Raw: true, Role: Client, Anchor: SpanID{13},
	}
	buf := make([]byte, 0, 1<<20)
	b.ReportAllocs()
	for range b.N {
		if len(buf) > 1<<20-256 {
			buf = buf[:0]
		}
		buf = AppendFact(buf, &f)
	}
	b.ReportMetric(float64(len(AppendFact(nil, &f))), "bytes/fact")
}
