package causality

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// What each kind of evidence is worth when records were lost: it counts where it is right whatever else has happened.
func TestEvidenceAcrossGaps(t *testing.T) {
	const turn = 100
	goroutine := Call{ID: 1, Start: 20 * ms, End: 30 * ms, Writer: Writer{Tgid: 1, Context: 5, Kind: event.Goroutine}, EndContext: 5}
	thread := Call{ID: 1, Start: 20 * ms, End: 30 * ms, Writer: Writer{Tgid: 1, Tid: 5}, EndTid: 5}
	together := goroutine
	together.Together = true
	by := func(w Writer) Writer { w.Tgid = 1; return w }
	for name, tc := range map[string]struct {
		call     Call
		evidence event.Evidence
		more     []event.Evidence
		answerer Writer // zero: not answered
		stands   bool
	}{
		"same goroutine":               {call: goroutine, evidence: event.Evidence{What: sameThread}, stands: true},
		"same thread":                  {call: thread, evidence: event.Evidence{What: sameThread}, answerer: by(Writer{Tid: 5}), stands: true},
		"same thread, not answered":    {call: thread, evidence: event.Evidence{What: sameThread}},
		"created":                      {call: goroutine, evidence: event.Evidence{What: goCreated}},
		"spawned":                      {call: thread, evidence: event.Evidence{What: spawn}, answerer: by(Writer{Tid: 5})},
		"first use of a hand-over":     {call: goroutine, evidence: event.Evidence{What: channel, Segment: 7, Uses: 1}, stands: true},
		"first use, several in it":     {call: together, evidence: event.Evidence{What: channel, Segment: 7, Uses: 1}, more: []event.Evidence{{What: channelBack, Segment: 7}}},
		"second use of one, came back": {call: goroutine, evidence: event.Evidence{What: channel, Segment: 7, Uses: 2}, more: []event.Evidence{{What: channelBack, Segment: 7}}},
		"back":                         {call: goroutine, evidence: event.Evidence{What: channelBack}, stands: true},
		"back with a task":             {call: goroutine, evidence: event.Evidence{What: channelBack, Segment: 7, Uses: 1}},
		"back to a task":               {call: goroutine, evidence: event.Evidence{What: taskBack, Segment: 7, Uses: 1}, stands: true},
		"answer of a thread":           {call: thread, evidence: event.Evidence{What: answer, Uses: 1, BaseUses: 1}, stands: true},
		"answer of a loop":             {call: thread, evidence: event.Evidence{What: answer, Segment: 7, Uses: 1, BaseUses: 1}},
		"through an eventfd":           {call: thread, evidence: event.Evidence{What: notifyBack, Uses: 1, BaseUses: 1}, stands: true},
		"through one, in a loop":       {call: thread, evidence: event.Evidence{What: notifyBack, Segment: 7, Uses: 1, BaseUses: 1}},
		"wake-up":                      {call: thread, evidence: event.Evidence{What: wakeBack}},
		"item":                         {call: thread, evidence: event.Evidence{What: item}, stands: true},
		"copied":                       {call: goroutine, evidence: event.Evidence{What: copied}},
		"context":                      {call: goroutine, evidence: event.Evidence{What: inContext}},
		"asynchronous id":              {call: thread, evidence: event.Evidence{What: asyncID}},
	} {
		t.Run(name, func(t *testing.T) {
			missed := false
			solve := func(lost *interval, seen bool) Answer {
				s, _ := newSolver()
				s.options.Explain = true
				s.Began(turn, turn, 10*ms, by(Writer{Tid: 5}))
				s.Origin(&event.Origin{What: event.Ended, Tgid: 1, Child: 5, Parent: turn})
				for _, e := range append([]event.Evidence{tc.evidence}, tc.more...) {
					e.Tgid, e.Call, e.Epoch, e.Ts = 1, 1, turn, 20*ms
					s.Evidence(&e)
				}
				if tc.answerer != (Writer{}) {
					s.Ended(turn, turn, 40*ms, tc.answerer)
				}
				if seen {
					s.Answered(turn, turn)
				}
				switch {
				case lost == nil:
				case missed:
					s.Missed(lost.from, lost.to)
				default:
					s.Lost(lost.from, lost.to)
				}
				return decide(s, tc.call)
			}
			require.Equal(t, Linked, solve(nil, false).Outcome, "none is lost")
			require.Equal(t, Linked, solve(&interval{1 * ms, 10*ms - 1}, false).Outcome, "before")
			want := Untrusted
			if tc.stands {
				want = Linked
			}
			missed = true
			require.Equal(t, Linked, solve(&interval{1 * ms, 10*ms - 1}, true).Outcome, "before")
			require.Equal(t, Untrusted, solve(&interval{21 * ms, 200 * ms}, true).Outcome, "not seen by the kernel side either")
			missed = false
			got := solve(&interval{21 * ms, 200 * ms}, false)
			require.Equal(t, want, got.Outcome, "after the call")
			if !tc.stands {
				require.Contains(t, got.Refused, kinds[tc.evidence.What].hint+": records_lost")
			}
			for _, between := range []interval{{5 * ms, 10 * ms}, {20 * ms, 200 * ms}} {
				require.Equal(t, Untrusted, solve(&between, false).Outcome, "the response may have been lost, too")
				require.Equal(t, want, solve(&between, true).Outcome, "the response was seen")
			}
		})
	}
}

// Nothing but bytes: what was lost may be the evidence.
func TestNothingAcrossAGap(t *testing.T) {
	for _, lost := range []uint64{19 * ms, 20 * ms} {
		s, _ := newSolver()
		s.options.Explain = true
		s.Lost(10*ms, lost)
		want := []string{"no_evidence"}
		if lost >= 20*ms {
			want = append(want, "records_lost")
		}
		require.Equal(t, want, decide(s, Call{ID: 1, Start: 20 * ms, End: 30 * ms}).Refused)
	}
}

// What does not count either way says why, and not that records were lost.
func TestRefusedAcrossAGap(t *testing.T) {
	for kind, want := range map[uint8]string{
		wake: "wake: never_alone", goParent: "goroutine_parent: not_proven", goCreated: "goroutine_created: records_lost",
	} {
		s, _ := newSolver()
		s.options.Explain = true
		s.Began(100, 100, 10*ms, reader)
		s.Evidence(evidence(kind, 1, 100))
		s.Lost(15*ms, 16*ms)
		require.Equal(t, []string{want}, decide(s, Call{ID: 1, Writer: Writer{Context: 7}, EndContext: 7, Start: 20 * ms, End: 30 * ms}).Refused)
	}
}

// Where a call comes from that began after the response is not told by its being the first of its context.
func TestLateAcrossAGap(t *testing.T) {
	for _, tc := range []struct{ lost, want uint64 }{{9 * ms, 100}, {25 * ms, 0}} {
		s, _ := newSolver()
		s.Began(100, 100, 10*ms, reader)
		s.Ended(100, 100, 20*ms, Writer{})
		s.Evidence(evidence(goCreated, 1, 100))
		s.Lost(5*ms, tc.lost)
		got := decide(s, Call{ID: 1, Writer: Writer{Context: 7}, EndContext: 7, Start: 30 * ms, End: 31 * ms})
		require.Equal(t, Late, got.Outcome)
		require.Equal(t, tc.want, got.Request)
	}
}

// Calls before and after one may be missing: no chain gives it a request, and none is learned from.
func TestChainsAcrossAGap(t *testing.T) {
	first, last := event.Evidence{What: channelBack, Call: 1, Epoch: 100}, event.Evidence{What: channelBack, Call: 3, Epoch: 100}
	for name, tc := range map[string]struct {
		lost    uint64
		linked  []uint64
		learned uint32
	}{
		"before": {4 * ms, []uint64{1, 2, 3}, 401},
		"since":  {50 * ms, []uint64{1, 3}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			s.Began(100, 100, 5*ms, reader)
			s.Ended(100, 100, 90*ms, reader)
			s.Answered(100, 100)
			prove(s, sureChain, 400)
			s.Lost(1*ms, tc.lost)
			var linked []uint64
			got := chain(s, 3, 1, first, last)
			for id := uint64(1); id <= 3; id++ {
				if got[id].Outcome == Linked {
					linked = append(linked, id)
				}
			}
			require.Equal(t, tc.linked, linked)
			require.Equal(t, tc.learned, s.processes.of(1).trials[sureChain].all)
		})
	}
}

// What the segments of a thread are is not learned where a part may be missing.
func TestSegmentsAcrossAGap(t *testing.T) {
	for _, tc := range []struct {
		lost uint64
		want int
	}{{10 * ms, 1}, {10*ms + 1, 0}} {
		s, _ := newSolver()
		s.Lost(1*ms, tc.lost)
		chain(s, 3, 0)
		require.Len(t, s.processes.of(1).signatures.list, tc.want)
	}
}

// A guess by times is none where another request may have been open.
func TestGuessesAcrossAGap(t *testing.T) {
	for lost, want := range map[uint64]Outcome{0: Linked, 40_000*ms - uint64(6*time.Second): Linked, 40_000*ms - uint64(4*time.Second): NoEvidence} {
		s := guesser(0.95)
		const at = 400 * 100 * ms
		if lost != 0 {
			s.Lost(lost-1, lost)
		}
		s.Began(400, 400, at, reader)
		s.Ended(400, 400, at+8*ms, reader)
		require.Equal(t, want, decide(s, Call{ID: 400, Writer: reader, Start: at + 2*ms, End: at + 5*ms}).Outcome)
	}
}

// What the chains of a Node.js loop have shown is taken back when it turns out that records were lost then.
func TestAsyncChainsAcrossAGap(t *testing.T) {
	s, _ := newSolver()
	closed := func(from, at uint64, right bool) {
		s.async.learn(closing{tgid: 1, from: from, at: at, right: right, next: true})
	}
	n := s.async.chainsOf(1)
	closed(10*ms, 20*ms, true)
	closed(15*ms, 30*ms, false)
	require.Equal(t, []score{{1, 2}, {1, 2}}, []score{n.all, n.next})
	s.Lost(25*ms, 40*ms)
	require.Equal(t, []score{{1, 1}, {1, 1}}, []score{n.all, n.next}, "the second was closed when records were lost")
	closed(35*ms, 50*ms, true)
	require.Equal(t, score{1, 1}, n.all, "begun when records were lost")
	closed(41*ms, 50*ms, true)
	require.Equal(t, score{2, 2}, n.all)
	s.Tick(50*ms + 200*ms + 1)
	require.Empty(t, s.async.closings, "it is known that none was lost")
	s.Lost(45*ms, 300*ms)
	require.Equal(t, score{2, 2}, n.all)
	n.operations[0] = score{}
	s.async.calls.put(1, &asyncCall{loop: loopKey{tgid: 1}, at: 300 * ms, settled: true})
	s.async.over(&Call{ID: 1})
	require.Equal(t, score{}, n.operations[0], "what came of a call is not known")
}

// Gaps take no more room than other marks, and those that go leave doubt.
func TestGapsAreBounded(t *testing.T) {
	s, _ := newSolver()
	for i := uint64(1); i <= 1000; i++ {
		s.Lost(i*100*ms, i*100*ms+ms)
	}
	require.Len(t, s.gaps.list, maxMarks)
	require.True(t, s.gaps.during(150*ms, 160*ms))
	require.False(t, s.gaps.during(1000*100*ms-50*ms, 1000*100*ms-40*ms))
	require.True(t, s.lostSince(1000*100*ms+ms))
	require.False(t, s.lostSince(1000*100*ms+ms+1))
}

// Ways to serve in which something that comes, or not, shows that evidence is wrong. They are right as long as all
// of it does.

// pooledShape: a goroutine that was created in a request and has never worked for it.
func pooledShape(w *world, t uint64, tgid uint32) {
	owner, worker := w.goroutine(tgid), w.goroutine(tgid)
	end := t + w.between(8, 20)*ms
	r := w.request(t, end, owner, owner)
	for _, at := range []uint64{t + 2*ms, end + w.between(1, 20)*ms} {
		id := w.call(at, at+2*ms, worker, 0, 11, false)
		w.say(at, worker, false, event.Evidence{What: goCreated, Call: id, Epoch: r})
	}
}

// lockShape: who has made a call for nobody leaves a lock for which the thread of a request waits. That it is one is
// found out when the next comes.
func lockShape(w *world, t uint64, tgid uint32) {
	owner, worker := Writer{Tgid: tgid, Tid: uint32(w.id())}, Writer{Tgid: tgid, Tid: uint32(w.id())}
	end := t + w.between(8, 20)*ms
	r, place := w.request(t, end, owner, owner), w.id()
	id := w.call(t+ms, t+3*ms, worker, 0, 12, false)
	w.say(t+3*ms, worker, false, event.Evidence{What: wakeBack, Call: id, Epoch: r, Segment: place})
	w.say(t+5*ms, worker, false, event.Evidence{What: wakeBack, BaseUses: lockFound, Segment: place})
}

// bothTasksShape: a goroutine that was given the tasks of two requests before it called for the second.
func bothTasksShape(w *world, t uint64, tgid uint32) {
	a, b, worker := w.goroutine(tgid), w.goroutine(tgid), w.goroutine(tgid)
	first, second := w.request(t, t+12*ms, a, a), w.request(t, t+14*ms, b, b)
	segment := w.id()
	id := w.call(t+2*ms, t+4*ms, worker, second, 13, true)
	w.say(t+5*ms, worker, false, event.Evidence{What: channelBack, Call: id, Epoch: first, Segment: segment, Uses: 1})
	w.say(t+6*ms, worker, false, event.Evidence{What: channelBack, Epoch: second, Segment: segment, Uses: 1})
}

// afterShape: a thread that has answered goes on with something else.
func afterShape(w *world, t uint64, tgid uint32) {
	me := Writer{Tgid: tgid, Tid: uint32(w.id())}
	end := t + w.between(2, 5)*ms
	r := w.request(t, end, me, me)
	at := end + w.between(1, 20)*ms
	id := w.call(at, at+2*ms, me, 0, 14, false)
	w.say(at, me, false, event.Evidence{What: sameThread, Call: id, Epoch: r})
}

// deniedShape: a loop answers one request when the response of another's call has arrived.
func deniedShape(w *world, t uint64, tgid uint32) {
	loopThread := Writer{Tgid: tgid, Tid: 9}
	first, second := w.request(t, t+10*ms, loopThread, loopThread), w.request(t+ms, t+12*ms, loopThread, loopThread)
	id := w.call(t+ms, t+5*ms, loopThread, second, 15, true)
	w.say(t+ms, loopThread, false, event.Evidence{What: loop, Call: id, Epoch: second, Segment: 1, Uses: 1})
	w.say(t+10*ms, loopThread, false, event.Evidence{What: answer, Call: id, Epoch: first, Segment: 1, Uses: 1, BaseUses: 1, Base: 1})
}

// writerShape: a context of Python that writes for all, and answers all, two requests at once among them.
func writerShape(w *world, t uint64, tgid uint32) {
	me := Writer{Tgid: tgid, Tid: 8, Context: w.id(), Kind: event.Python}
	other := Writer{Tgid: tgid, Tid: 8}
	w.request(t, t+10*ms, other, me)
	w.request(t+ms, t+14*ms, other, me)
	w.call(t+ms/2, t+4*ms, me, 0, 16, false)
}

// contextShape: a context of Python that serves a request, and one that it has made.
func contextShape(w *world, t uint64, tgid uint32) {
	me := Writer{Tgid: tgid, Tid: 8, Context: w.id(), Kind: event.Python}
	child := Writer{Tgid: tgid, Tid: 8, Context: w.id(), Kind: event.Python}
	r := w.request(t, t+10*ms, Writer{Tgid: tgid, Tid: 8}, me)
	w.call(t+ms, t+3*ms, me, r, 17, false)
	made := event.Origin{What: event.Made, ContextKind: event.Python, Tgid: tgid, Ts: t + 2*ms, Child: child.Context, Parent: me.Context}
	w.at(made.Ts, me, func(s *Solver, _ *results) { s.Origin(&made) })
	w.call(t+3*ms, t+5*ms, child, r, 18, false)
}

// threadShape: a thread of its own, which then ends.
func threadShape(w *world, t uint64, tgid uint32) {
	owner, child := Writer{Tgid: tgid, Tid: uint32(w.id())}, Writer{Tgid: tgid, Tid: uint32(w.id())}
	r := w.request(t, t+10*ms, owner, owner)
	id := w.call(t+ms, t+3*ms, child, r, 19, false)
	w.say(t+ms, child, false, event.Evidence{What: spawn, Call: id, Epoch: r})
	ended := event.Origin{What: event.Ended, Tgid: tgid, Ts: t + 4*ms, Child: uint64(child.Tid), Parent: r}
	w.at(ended.Ts, child, func(s *Solver, _ *results) { s.Origin(&ended) })
}

var doubtfulShapes = []shape{
	pooledShape, lockShape, bothTasksShape, afterShape, deniedShape, writerShape, contextShape, threadShape,
}

// lossy runs a world whose records are lost as lose says: those of calls, of requests, of contexts and evidence. The
// solver is told as the receiver does: it ticks every 20 ms, and looks every 100 ms whether some were.
func (w *world) lossy(lose func(*step) bool) *results {
	r := &results{answers: map[uint64][]Answer{}, held: map[uint64]bool{}, counts: map[uint64][]Count{}}
	s := NewSolver(modelOptions(), &Counts{})
	steps := slices.Clone(w.steps)
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Or(cmp.Compare(a.ts, b.ts), cmp.Compare(a.seen, b.seen)) })
	checked, lost := uint64(0), false
	var late []step // requests whose responses were lost
	tick := func(now uint64) {
		if now > checked+100*ms {
			if lost {
				s.Lost(checked, now)
			}
			checked, lost = now, false
		}
		s.Saw(now, checked)
		s.Tick(min(now, checked))
	}
	now := steps[0].ts
	for i := range steps {
		for ; now < steps[i].ts; now += 20 * ms {
			tick(now)
		}
		for len(late) > 0 && late[0].ts+30*ms <= steps[i].ts {
			late[0].instead(s)
			late = late[1:]
		}
		if lose(&steps[i]) {
			lost = true
			if steps[i].instead != nil && i%2 == 0 {
				late = append(late, steps[i])
			}
			continue
		}
		steps[i].tell(s, r)
	}
	tick(now + uint64(time.Minute))
	s.Flush()
	return r
}

// I11, of every record: what is lost costs links and makes none wrong, and no count is wrong.
func TestI11LostRecordsOfEveryKind(t *testing.T) {
	all := append(slices.Clone(shapes), doubtfulShapes...)
	for name, tc := range map[string]struct {
		shapes []shape
		lose   func(rng *rand.Rand) func(*step) bool
		least  int // right links of 8 worlds, four times over
	}{
		"none": {all, func(*rand.Rand) func(*step) bool { return func(*step) bool { return false } }, 20000},
		"few, anywhere": {all, func(rng *rand.Rand) func(*step) bool {
			return func(*step) bool { return rng.IntN(1000) == 0 }
		}, 15000},
		"many, anywhere": {all, func(rng *rand.Rand) func(*step) bool {
			return func(*step) bool { return rng.IntN(10) == 0 }
		}, 1500},
		"most, now and then": {all, func(rng *rand.Rand) func(*step) bool {
			return func(st *step) bool { return st.ts/ms%1000 < 30 && rng.IntN(4) != 0 }
		}, 12000},
		"where it matters": {doubtfulShapes, func(rng *rand.Rand) func(*step) bool {
			return func(*step) bool { return rng.IntN(50) == 0 }
		}, 300},
	} {
		t.Run(name, func(t *testing.T) {
			right, calls := 0, 0
			for seed := range uint64(8) {
				w := newWorldIn(seed, 250, nil, 20, tc.shapes)
				rng := rand.New(rand.NewPCG(seed, 13))
				for range 4 {
					r := w.lossy(tc.lose(rng))
					right += w.judge(t, r)
					calls += len(w.calls)
					w.checkCounts(t, r, true)
				}
			}
			t.Logf("%d of %d calls linked", right, calls)
			require.GreaterOrEqual(t, right, tc.least)
		})
	}
}
