package link

import (
	"maps"
	"math/rand/v2"
	"slices"
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

// FuzzExplain: an explanation tells what Resolve found, in bounds, and of each candidate that lost what ruled it out,
// whatever the facts.
func FuzzExplain(f *testing.F) {
	f.Add([]byte("a request and its call, a database and a browser"))
	f.Add([]byte{0xe6, 10, 20, 5, 0, 0x45, 0, 1, 0xe5, 8, 40, 5, 0, 0x45, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		x, n := indexed(data)
		for id := range ID(n) {
			explains(t, x, id, map[string]int{})
		}
	})
}

// TestExplainsRandomFacts asks the same of many facts at once, of random ones and of situations that are nearly what the
// rules are for, and that each word is needed.
func TestExplainsRandomFacts(t *testing.T) {
	words := map[string]int{}
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 9))
		data := make([]byte, factBytes*(2+rng.IntN(40)))
		for i := range data {
			data[i] = byte(rng.UintN(256))
		}
		random, n := indexed(data)
		for id := range ID(n) {
			explains(t, random, id, words)
		}
		for range 3 {
			x := New(AllRuleNames(), 20*time.Millisecond)
			facts := nearlySameCalls(rng)
			if rng.IntN(2) == 0 {
				facts = sharedIDs(rng)
			}
			for _, f := range facts {
				x.AddRare(f.Fact, f.Rare)
			}
			for id := range ID(len(facts)) {
				explains(t, x, id, words)
			}
		}
	}
	for _, why := range []string{
		whyEquallyGood, whyOutranked, whyWeaker, whyConflict, whyAbsent, whyUnfit, whyRivalChild, whyRivalParent, whyHeaderSeen,
		whyOtherRequest, whyAnswered, whyAnswersAnother, whyLeadsElsewhere, beforeRequest.String(), afterResponse.String(),
		outlives.String(), unended.String(), longer.String(), unfilled.String(),
	} {
		require.Positive(t, words[why], "nothing lost as %s: the facts are too few or too wild; of all: %v", why, words)
	}
}

// nearlySameCalls are spans of requests and calls by eBPF and an SDK, of which a few are not as they should be.
func nearlySameCalls(rng *rand.Rand) (out []seen) {
	m := sameCalls()
	if rng.IntN(3) == 0 {
		otherRequests(m)
	}
	if rng.IntN(3) == 0 {
		answeredFor(byte(4 + rng.IntN(2)*4))(m)
		change("call", func(s *said) { s.ReqSeq, s.RespSeq = 5, 6 })(m)
	}
	names := slices.Sorted(maps.Keys(m))
	for n := range byte(rng.IntN(5)) {
		name, by := names[rng.IntN(len(names))], rng.Int64N(31)-15
		if _, here := m[name]; !here {
			continue
		}
		switch rng.IntN(10) {
		case 0:
			add(name, name+"2", all(move(by), func(s *said) { s.Span[0] += n }))(m)
		case 1, 2:
			change(name, move(by))(m)
		case 3:
			change(name, func(s *said) { s.End += by * ms })(m)
		case 4:
			change(name, func(s *said) { s.CtxTrace, s.CtxParent = trace(1), span(byte(rng.IntN(6))) })(m)
		case 5:
			change(name, func(s *said) { s.Systrace = rng.Uint64N(3) * 9 })(m)
		case 6:
			delete(m, name)
		case 7:
			change(name, func(s *said) { s.Exchange = Exchange{PID: 7, Container: rng.Uint64N(2), Pod: rng.Uint64N(2)} })(m)
		case 8:
			change(name, func(s *said) { s.Local.Port, s.Peer.Port = 9, uint16(rng.IntN(3)) })(m)
		case 9:
			change(name, func(s *said) { s.Pending = s.Raw })(m)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, seen{m[name].Fact, Rare{Process: uint64(m[name].PID), Exchange: m[name].Exchange}})
	}
	return out
}

// sharedIDs are requests, calls and retries of a few processes, which pass on a few ids.
func sharedIDs(rng *rand.Rand) (out []seen) {
	for i := range 2 + rng.IntN(9) {
		f := server(byte(i+1), rng.Int64N(60), lasts(1+rng.Int64N(100)), host(1+rng.Uint64N(2)), seq(rng.Uint32N(4), rng.Uint32N(3)),
			addrs(rng.Uint32N(4), rng.Uint32N(4)), ports(80, uint16(990+rng.IntN(3))))
		if rng.IntN(2) == 0 {
			f.Role = Client
			f.Local, f.Peer = f.Peer, f.Local
		}
		f.Pending = rng.IntN(12) == 0
		out = append(out, seen{f, Rare{Process: 1 + rng.Uint64N(3), RequestID: rng.Uint64N(3), ResponseID: rng.Uint64N(3)}})
	}
	return out
}

// indexed takes in the facts in data.
func indexed(data []byte) (x *Index, n int) {
	x = New(AllRuleNames(), 5*time.Millisecond)
	for ; len(data) > 0 && n < 60; n++ {
		next := min(factBytes, len(data))
		s := factOf(n, data[:next])
		x.AddRare(s.Fact, s.Rare)
		data = data[next:]
	}
	return x, n
}

// explains checks what FuzzExplain says of one span, and counts the words.
func explains(t *testing.T, x *Index, id ID, words map[string]int) {
	t.Helper()
	e, why := x.Resolve(id), x.Explain(id, 20*time.Second)
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
			for _, f := range w.Facts {
				require.NotEqual(t, whyConflict, f.Verdict, "%s: %+v", w.Rule, f)
			}
		}
		good := 0
		for _, l := range w.Losers {
			words[l.Why]++
			switch l.Why {
			case whyEquallyGood:
				good++
				require.Equal(t, Ambiguous, w.Outcome, w.Rule)
			case whyOutranked:
				require.Equal(t, Linked, w.Outcome, w.Rule)
			case whyLimit:
				require.Equal(t, Overrun, w.Outcome, w.Rule)
			case whyRivalChild, whyRivalParent, whyOtherRequest, whyAnswered, whyAnswersAnother:
				require.NotEmpty(t, l.Rival, l.Why)
			case whyHeaderSeen, whyLeadsElsewhere: // of several, or of one that is not here
			default:
				require.NotEmpty(t, l.Fact.Fact, "%s: %d lost to %d: %s", w.Rule, l.Span[7], id, l.Why)
			}
			require.NotEqual(t, w.Parent, l.Span)
		}
		require.NotEqual(t, 1, good, "%s: as good as what?", w.Rule)
	}
	if e.Parent == None {
		require.Equal(t, SpanID{}, linked)
	} else {
		require.Equal(t, x.Fact(e.Parent).Span, linked)
	}
}
