package link

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWhatRestsOnClocksIsNotFinal: more pairs may change what is known of them.
func TestWhatRestsOnClocksIsNotFinal(t *testing.T) {
	for apart, final := range map[int64]bool{0: true, 400: true, 700: false} {
		x := New(RuleNames(), 500*time.Millisecond)
		var last ID
		for _, f := range new(world).calls(3, 1, 2, 0, apart).facts {
			last = x.Add(f)
		}
		require.Equal(t, Linked, x.Resolve(last).Outcome)
		_, got := x.Final(last)
		require.Equal(t, final, got, "%d ms apart", apart)
	}
}

// TestRootlessAndClosed: rules that are added make fewer traces provably whole.
func TestRootlessAndClosed(t *testing.T) {
	withID := Rare{Process: 1, RequestID: RequestIDKey("0123456789abcdef")}
	for name, tt := range map[string]struct {
		rules            []string
		f                Fact
		rare             Rare
		rootless, closed bool
	}{
		"calls for nobody":      {RuleNames(), client(1, 0, seq(1, 2)), Rare{}, true, true},
		"calls for a request":   {RuleNames(), client(1, 0, seq(1, 2), systrace(7)), Rare{}, false, true},
		"calls in a context":    {RuleNames(), client(1, 0, thread(7, 1)), Rare{}, false, true},
		"by a header":           {RuleNames(), client(1, 0, carries(1, 1)), Rare{}, false, true},
		"by a request id":       {RuleNames(), client(1, 0), withID, false, false},
		"by time alone":         {AllRuleNames(), client(1, 0), Rare{Process: 1, RequestID: withID.RequestID}, false, false},
		"served":                {RuleNames(), server(1, 0, seq(1, 2), systrace(7)), Rare{}, false, true},
		"served outside":        {RuleNames(), server(1, 0, seq(1, 2), systrace(7), fromOutside), Rare{}, true, true},
		"outside, with an id":   {RuleNames(), server(1, 0, seq(1, 2), fromOutside), withID, false, false},
		"outside, in a context": {RuleNames(), server(1, 0, seq(1, 2), fromOutside, carries(1, 1)), Rare{}, false, true},
	} {
		x := New(tt.rules, 0)
		id := x.AddRare(tt.f, tt.rare)
		require.Equal(t, tt.rootless, x.Rootless(id), name)
		require.Equal(t, tt.closed, x.Closed(id), name)
	}
}

// TestCompanyOfAnSDKIsNotWhole: where an SDK's span of the same process may be of the call, or of the request, nothing is
// proven before it has been compared.
func TestCompanyOfAnSDKIsNotWhole(t *testing.T) {
	for name, say := range map[string]struct{ raw, own Exchange }{
		"process":   {Exchange{PID: 7}, Exchange{PID: 7}},
		"container": {Exchange{PID: 7, Container: 1, Pod: 2}, Exchange{Container: 1}},
		"pod":       {Exchange{PID: 7, Container: 1, Pod: 2}, Exchange{Pod: 2}},
	} {
		x := New(RuleNames(), 0)
		call := x.AddRare(client(1, 0, seq(1, 2)), Rare{Exchange: say.raw})
		request := x.AddRare(server(2, 0, seq(3, 4)), Rare{Exchange: say.raw})
		for _, id := range []ID{call, request} {
			require.Equal(t, id == call, x.Rootless(id), name)
			require.True(t, x.Closed(id), name)
		}
		for _, own := range []Fact{sdk(3, Client, 0, 1, 0), sdk(4, Server, 0, 2, 0)} {
			own.Host = 1
			x.AddRare(own, Rare{Exchange: say.own})
		}
		require.False(t, x.Rootless(call), name)
		require.False(t, x.Closed(request), name)
	}
}

func fromOutside(f *Fact) { f.Peer.Untraced = true }
