package link

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const factBytes = 8

// factOf makes a fact of some bytes, with few values for everything, so that all rules find several.
func factOf(n int, b []byte) seen {
	at := func(i int) byte {
		if i < len(b) {
			return b[i]
		}
		return 0
	}
	few := func(i, shift int) uint64 { return uint64(at(i)>>shift) & 3 }
	f := Fact{
		Span: SpanID{0: 1, 7: byte(n)}, OwnTrace: TraceID{15: byte(n + 1)}, Raw: at(0)&0xe0 != 0,
		Role: Role(few(0, 0) % 3), Host: few(0, 2), Pending: at(0)&16 != 0 && at(1)&1 != 0,
		Start: int64(at(1)) * ms / 4, ReqSeq: uint32(few(3, 0)), RespSeq: uint32(few(3, 2)),
		Systrace: few(3, 4) / 3, Pseudo: few(3, 6) / 3, CtxTrace: TraceID{15: byte(few(2, 6)) * 4}, CtxParent: SpanID{0: 1, 7: byte(few(2, 6)) * 3},
		Local: Endpoint{Addr: uint32(few(4, 0)), Port: uint16(few(4, 2))}, Peer: Endpoint{Addr: uint32(few(4, 4)), Port: uint16(few(4, 6))},
	}
	f.Service = uint32(few(7, 2))
	f.End = f.Start + int64(at(2)&63)*ms
	return seen{f, Rare{
		Process: few(5, 0), RequestID: few(5, 2), ResponseID: few(5, 4), Foreign: at(5)&64 != 0,
		ReqChain: few(6, 0), RespChain: few(6, 2), Tap: at(6) >> 4 % 13,
		Exchange: Exchange{PID: uint32(few(7, 0)), Instance: uint32(few(7, 2) / 2), Method: uint8(few(7, 4) / 2), System: uint8(few(7, 6) / 3)},
	}}
}

// FuzzRules: for any facts, all rules together give each span the same parent in whatever order they
// come; no span is its own parent; and the words of other producers link only their own spans.
func FuzzRules(f *testing.F) {
	f.Add([]byte("a request and its call"), uint8(3))
	f.Add([]byte{0xe6, 10, 20, 5, 0, 0x45, 0, 0xe5, 8, 40, 5, 0, 0x45, 0}, uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, turn uint8) { holds(t, data, int(turn), map[string]int{}) })
}

// TestRandomFacts asks the same of many facts at once, and that each rule has made links.
func TestRandomFacts(t *testing.T) {
	linked := map[string]int{}
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 9))
		data := make([]byte, factBytes*(2+rng.IntN(40)))
		for i := range data {
			data[i] = byte(rng.UintN(256))
		}
		holds(t, data, rng.IntN(40), linked)
	}
	for _, r := range AllRuleNames() {
		require.Positive(t, linked[r], "%s made no link: the facts are too few or too wild; of all: %v", r, linked)
	}
}

// holds checks what FuzzRules says of the facts in data, and counts the links by rule.
func holds(t *testing.T, data []byte, turn int, linked map[string]int) {
	t.Helper()
	var facts []seen
	for n := 0; len(data) > 0 && n < 60; n++ {
		next := min(factBytes, len(data))
		facts = append(facts, factOf(n, data[:next]))
		data = data[next:]
	}
	if len(facts) == 0 {
		return
	}
	type result struct {
		parent     SpanID
		outcome    Outcome
		rule       string
		candidates uint32
		confidence float32
	}
	resolved := func(shift int) map[SpanID]result {
		x := New(AllRuleNames(), 5*time.Millisecond)
		for i := range facts {
			s := facts[(i+shift)%len(facts)]
			x.AddRare(s.Fact, s.Rare)
		}
		out := map[SpanID]result{}
		for id := range ID(len(facts)) {
			e := x.Resolve(id)
			r := result{outcome: e.Outcome, rule: e.Rule, candidates: e.Candidates, confidence: e.Confidence}
			require.Equal(t, e.Outcome == Linked, e.Parent != None)
			if e.Parent != None {
				linked[e.Rule]++
				require.NotEqual(t, id, e.Parent)
				r.parent = x.Fact(e.Parent).Span
				require.True(t, e.Confidence > 0 && e.Confidence <= 1)
				c, p := x.View(id), x.View(e.Parent)
				if e.Rule == Compat {
					require.True(t, c.Foreign && p.Foreign && c.Raw && p.Raw)
				}
				require.Equal(t, admitted, x.admit(&x.rows[e.Row], c.core, p.core))
				found := false
				x.Referrers(e.Parent, func(r ID) bool { found = found || r == id; return true })
				require.True(t, found, "a parent finds its child")
			}
			out[x.Fact(id).Span] = r
		}
		return out
	}
	want := resolved(0)
	require.Equal(t, want, resolved(turn%len(facts)))

	// The rules that must be asked for take nothing from the others.
	x := New(RuleNames(), 5*time.Millisecond)
	for _, s := range facts {
		x.AddRare(s.Fact, s.Rare)
	}
	for id := range ID(len(facts)) {
		if e := x.Resolve(id); e.Outcome == Linked {
			require.Equal(t, x.Fact(e.Parent).Span, want[x.Fact(id).Span].parent)
		}
	}
}

// FuzzExplain: an explanation tells what Resolve found, in bounds, whatever the facts.
func FuzzExplain(f *testing.F) {
	f.Add([]byte("a request and its call, a database and a browser"))
	f.Add([]byte{0xe6, 10, 20, 5, 0, 0x45, 0, 1, 0xe5, 8, 40, 5, 0, 0x45, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		x := New(AllRuleNames(), 5*time.Millisecond)
		n := 0
		for ; len(data) > 0 && n < 60; n++ {
			next := min(factBytes, len(data))
			s := factOf(n, data[:next])
			x.AddRare(s.Fact, s.Rare)
			data = data[next:]
		}
		for id := range ID(n) {
			e, why := x.Resolve(id), x.Explain(id)
			require.LessOrEqual(t, len(why), len(rows))
			linked := SpanID{}
			for i, w := range why {
				require.NotEmpty(t, w.Key)
				require.LessOrEqual(t, len(w.Losers), MaxLosers)
				require.Equal(t, w.Linked, w.Outcome == Linked)
				if w.Linked {
					require.Equal(t, len(why)-1, i, "nothing is looked for behind a link")
					require.Equal(t, e.Rule, w.Rule)
					linked = w.Parent
				}
			}
			if e.Parent == None {
				require.Equal(t, SpanID{}, linked)
			} else {
				require.Equal(t, x.Fact(e.Parent).Span, linked)
			}
		}
	})
}
