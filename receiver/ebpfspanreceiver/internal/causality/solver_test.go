package causality

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

const ms = uint64(time.Millisecond)

// reader of every request here, in process 1.
var reader = Writer{Tgid: 1}

func newSolver() (*Solver, *Counts) {
	c := &Counts{}
	return NewSolver(Options{Hold: 5 * time.Second, Grace: 200 * time.Millisecond, MaxHeld: 100, MaxAge: time.Hour}, c), c
}

func evidence(what uint8, call, epoch uint64) *event.Evidence {
	return &event.Evidence{What: what, Call: call, Epoch: epoch, Ts: 10 * ms}
}

// decide holds one call and returns its answer.
func decide(s *Solver, c Call) Answer {
	var got Answer
	c.Writer.Tgid = reader.Tgid
	s.Hold(c, func(a Answer) { got = a })
	s.Flush()
	return got
}

func TestSolve(t *testing.T) {
	call := Call{ID: 1, Start: 20 * ms, End: 30 * ms, Writer: Writer{Tgid: 1, Context: 5}, EndContext: 5}
	second := func(e *event.Evidence) *event.Evidence { e.Uses, e.Segment = 2, 77; return e }
	onward := func(e *event.Evidence) *event.Evidence {
		e.Uses, e.Segment, e.BaseUses, e.Base = 1, 78, 2, 77
		return e
	}
	for _, tc := range []struct {
		name     string
		evidence []*event.Evidence
		want     Answer
	}{
		{"nothing", nil, Answer{Outcome: NoEvidence}},
		{
			"same thread",
			[]*event.Evidence{evidence(sameThread, 1, 100)},
			Answer{Outcome: Linked, Request: 100, Hints: []string{"same_thread"}, Confidence: 0.999},
		},
		{
			"agreement",
			[]*event.Evidence{evidence(channel, 1, 100), evidence(channelBack, 1, 100)},
			Answer{Outcome: Linked, Request: 100, Hints: []string{"channel", "channel_back"}, Confidence: 0.999},
		},
		{
			"the way back overrules the way there",
			[]*event.Evidence{evidence(goCreated, 1, 100), evidence(channelBack, 1, 200)},
			Answer{Outcome: Linked, Request: 200, Hints: []string{"channel_back"}, Confidence: 0.999, Overruled: 1},
		},
		{
			"equal ranks disagree",
			[]*event.Evidence{evidence(channelBack, 1, 100), evidence(sameThread, 1, 200)},
			Answer{Outcome: Conflict},
		},
		{
			"back to a task",
			[]*event.Evidence{evidence(goCreated, 1, 200), evidence(taskBack, 1, 100)},
			Answer{Outcome: Linked, Request: 100, Hints: []string{"task_back"}, Confidence: 0.995, Overruled: 1},
		},
		{"event loop alone", []*event.Evidence{evidence(loop, 1, 100)}, Answer{Outcome: Untrusted}},
		{"request not parsed", []*event.Evidence{evidence(sameThread, 1, 999)}, Answer{Outcome: UnknownRequest}},
		{"after the response", []*event.Evidence{evidence(sameThread, 1, 300)}, Answer{Outcome: Late}},
		{"before the request", []*event.Evidence{evidence(sameThread, 1, 400)}, Answer{Outcome: Untrusted}},
		{"second call of a task", []*event.Evidence{second(evidence(channel, 1, 100))}, Answer{Outcome: Untrusted}},
		{"second call of a task that came back", []*event.Evidence{
			second(evidence(channel, 1, 100)), second(evidence(channelBack, 9, 100)),
		}, Answer{Outcome: Linked, Request: 100, Hints: []string{"channel"}, Confidence: 0.995}},
		{"second call of a task that came back without one", []*event.Evidence{
			second(evidence(channel, 1, 100)), second(evidence(channelBack, 0, 100)),
		}, Answer{Outcome: Linked, Request: 100, Hints: []string{"channel"}, Confidence: 0.995}},
		{"second call of a task that came back to another as well", []*event.Evidence{
			second(evidence(channel, 1, 100)), second(evidence(channelBack, 9, 100)), second(evidence(channelBack, 0, 200)),
		}, Answer{Outcome: Untrusted}},
		{"which came back again", []*event.Evidence{
			second(evidence(channel, 1, 100)), second(evidence(channelBack, 9, 100)), second(evidence(channelBack, 0, 200)),
			second(evidence(channelBack, 9, 100)),
		}, Answer{Outcome: Untrusted}},
		{"the call with which a task of two came back", []*event.Evidence{
			second(evidence(channelBack, 1, 100)), second(evidence(channelBack, 0, 200)),
		}, Answer{Outcome: Untrusted}},
		{"task of a task, unsure", []*event.Evidence{onward(evidence(channel, 1, 100))}, Answer{Outcome: Untrusted}},
		{"task of a task that came back", []*event.Evidence{
			onward(evidence(channel, 1, 100)), second(evidence(channelBack, 9, 100)),
		}, Answer{Outcome: Linked, Request: 100, Hints: []string{"channel"}, Confidence: 0.995}},
		{"task of a task that went elsewhere", []*event.Evidence{
			onward(evidence(channel, 1, 100)), second(evidence(channelBack, 9, 200)),
		}, Answer{Outcome: Untrusted}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, counts := newSolver()
			s.Began(100, 100, 10*ms, reader)
			s.Began(200, 200, 10*ms, reader)
			s.Began(300, 300, 10*ms, reader)
			s.Ended(300, 300, 15*ms, Writer{})
			s.Began(400, 400, 25*ms, reader)
			for _, e := range tc.evidence {
				s.Evidence(e)
			}
			require.Equal(t, tc.want, decide(s, call))
			require.EqualValues(t, 1, counts.Outcome(tc.want.Outcome))
		})
	}
}

// Where a thread reads a request and another answers it, threads do not follow requests.
func TestThreadsThatDoNotServeToTheEnd(t *testing.T) {
	thread := func(tid uint32) Writer { return Writer{Tgid: 1, Tid: tid} }
	s, _ := newSolver()
	for id := uint64(1); id <= 5; id++ {
		s.Evidence(evidence(sameThread, id, 100+id))
		s.Began(100+id, 100+id, 10*ms, thread(7))
	}
	call := func(id uint64, end uint32) Answer {
		return decide(s, Call{ID: id, Writer: thread(7), EndTid: end, Start: 11 * ms, End: 12 * ms})
	}
	require.Equal(t, Linked, call(1, 7).Outcome, "open, and nothing speaks against it")
	require.Equal(t, Untrusted, call(2, 8).Outcome, "another thread read the call's response")
	s.Ended(103, 103, 20*ms, Writer{Tid: 8})
	require.Equal(t, Untrusted, call(3, 7).Outcome, "another thread answered the request")
	require.Equal(t, Untrusted, call(4, 7).Outcome, "open, in a process that hands over")
	s.Ended(105, 105, 20*ms, Writer{Tid: 7})
	require.Equal(t, Linked, call(5, 7).Outcome, "served from end to end")
}

// Threads that go on with each other's requests are workers of a scheduler: who serves one from end to end may have run
// another task in between. Not so where one only reads and the others only answer.
func TestThreadsThatMigrate(t *testing.T) {
	for name, tc := range map[string]struct {
		before [][2]uint32 // who read and who answered
		want   Outcome
	}{
		"a reader and a pool":      {[][2]uint32{{1, 7}, {1, 8}, {7, 7}}, Linked},
		"workers":                  {[][2]uint32{{7, 7}, {8, 8}, {8, 7}}, Untrusted},
		"workers, not known to be": {[][2]uint32{{8, 7}}, Linked},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			for i, b := range tc.before {
				id := uint64(10 + i)
				s.Began(id, id, 1*ms, Writer{Tgid: 1, Tid: b[0]})
				s.Ended(id, id, 2*ms, Writer{Tgid: 1, Tid: b[1]})
			}
			s.Evidence(evidence(sameThread, 1, 100))
			s.Began(100, 100, 10*ms, Writer{Tgid: 1, Tid: 7})
			s.Ended(100, 100, 20*ms, Writer{Tgid: 1, Tid: 7})
			require.Equal(t, tc.want, decide(s, Call{ID: 1, Writer: Writer{Tgid: 1, Tid: 7}, EndTid: 7, Start: 11 * ms, End: 12 * ms}).Outcome)
		})
	}
}

// A thread that takes what another has read serves it to its end.
func TestThreadsThatTake(t *testing.T) {
	const reactor, worker, other = 3, 7, 8
	by := func(tid uint32) Writer { return Writer{Tgid: 1, Tid: tid} }
	taken := func(tid uint64, at uint64) *event.Origin {
		return &event.Origin{What: event.Taken, Tgid: 1, Child: tid, Parent: 100, Ts: at}
	}
	for name, tc := range map[string]struct {
		writer   uint32
		taken    *event.Origin // nil: not
		answerer uint32        // 0: not yet
		before   bool          // another one was read by one and answered by another
		want     Outcome
	}{
		"taken":                             {worker, taken(worker, 11*ms), worker, false, Linked},
		"taken, not answered":               {worker, taken(worker, 11*ms), 0, false, Linked},
		"taken, where requests go astray":   {worker, taken(worker, 11*ms), worker, true, Linked},
		"not taken":                         {worker, nil, worker, false, Untrusted},
		"not taken, not answered":           {worker, nil, 0, true, Untrusted},
		"taken, and answered by its reader": {worker, taken(worker, 11*ms), reactor, false, Untrusted},
		"taken, and answered by another":    {worker, taken(worker, 11*ms), other, false, Untrusted},
		"taken from who calls":              {reactor, taken(worker, 11*ms), worker, false, Untrusted},
		"another is taken": {
			worker, &event.Origin{What: event.Taken, Tgid: 1, Child: worker, Parent: 101, Ts: 11 * ms}, worker, false, Untrusted,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			if tc.before {
				s.Began(10, 10, 1*ms, by(reactor))
				s.Ended(10, 10, 2*ms, by(other))
			}
			s.Began(100, 100, 10*ms, by(reactor))
			if tc.taken != nil {
				s.Origin(tc.taken)
			}
			s.Evidence(evidence(sameThread, 1, 100))
			if tc.answerer != 0 {
				s.Ended(100, 100, 20*ms, by(tc.answerer))
			}
			require.Equal(t, tc.want, decide(s, Call{ID: 1, Writer: by(tc.writer), EndTid: tc.writer, Start: 12 * ms, End: 13 * ms}).Outcome)
			require.Equal(t, tc.before || tc.answerer != 0 && (tc.taken == nil || tc.taken.Parent != 100 || tc.answerer != worker),
				s.threads.handOver(1))
		})
	}
}

// Of requests that were pipelined the one that is being served is taken.
func TestTakenOfATurn(t *testing.T) {
	s, _ := newSolver()
	s.Began(100, 100, 10*ms, reader)
	s.Began(100, 101, 10*ms, reader)
	s.Ended(100, 100, 20*ms, Writer{})
	s.Origin(&event.Origin{What: event.Taken, Tgid: 1, Child: 7, Parent: 100, Ts: 25 * ms})
	require.Equal(t, uint32(0), s.requests.named(100, 100).reader.Tid)
	require.Equal(t, uint32(7), s.requests.named(100, 101).reader.Tid)
	s.Ended(100, 101, 30*ms, Writer{})
	s.Origin(&event.Origin{What: event.Taken, Tgid: 1, Child: 8, Parent: 100, Ts: 35 * ms})
	require.Equal(t, uint32(7), s.requests.named(100, 101).reader.Tid, "it is over")
}

// The same of virtual threads, whichever threads carry them.
func TestVirtualThreadsThatDoNotServeToTheEnd(t *testing.T) {
	on := func(tid uint32, context uint64) Writer {
		return Writer{Tgid: 1, Tid: tid, Context: context, Kind: event.Virtual}
	}
	answered := func(tid uint32, context uint64) Writer { return Writer{Tgid: 1, Tid: tid, Context: context} }
	s, _ := newSolver()
	for id := uint64(1); id <= 6; id++ {
		s.Evidence(evidence(sameThread, id, 100+id))
		s.Began(100+id, 100+id, 10*ms, on(7, 40))
	}
	call := func(id uint64, end uint64) Answer {
		return decide(s, Call{ID: id, Writer: on(8, 40), EndTid: 9, EndContext: end, Start: 11 * ms, End: 12 * ms})
	}
	require.Equal(t, Linked, call(1, 40).Outcome, "open, and nothing speaks against it")
	require.Equal(t, Untrusted, call(2, 41).Outcome, "another one read the call's response")
	s.Ended(106, 106, 20*ms, answered(9, 40))
	require.Equal(t, Linked, call(6, 40).Outcome, "served from end to end, on another carrier")
	s.Ended(103, 103, 20*ms, answered(7, 41))
	require.Equal(t, Untrusted, call(3, 40).Outcome, "another one answered the request, on the same carrier")
	require.Equal(t, Untrusted, call(4, 40).Outcome, "open, in a process that hands over")
	s.Ended(105, 105, 20*ms, answered(7, 0))
	require.Equal(t, Untrusted, call(5, 40).Outcome, "a platform thread answered")
}

func TestPipelinedRequestsShareATurn(t *testing.T) {
	s, _ := newSolver()
	s.Began(100, 100, 10*ms, reader)
	s.Began(100, 101, 10*ms, reader)
	s.Ended(100, 100, 20*ms, Writer{})
	s.Ended(100, 101, 30*ms, Writer{})
	for i, c := range []struct{ start, want uint64 }{{15 * ms, 100}, {25 * ms, 101}} {
		id := uint64(i + 1)
		s.Evidence(evidence(sameThread, id, 100))
		require.Equal(t, c.want, decide(s, Call{ID: id, Start: c.start, End: c.start}).Request)
	}
	s.Evidence(evidence(sameThread, 9, 100))
	require.Equal(t, Late, decide(s, Call{ID: 9, Start: 31 * ms, End: 40 * ms}).Outcome)
}

// The goroutines of a pooled connection were created by whoever opened it.
func TestCreatedGoroutineMustReadTheResponse(t *testing.T) {
	s, _ := newSolver()
	s.Began(100, 100, 10*ms, reader)
	for id, tc := range map[uint64]struct {
		end  uint64
		want Outcome
	}{1: {7, Linked}, 2: {8, Untrusted}} {
		s.Evidence(evidence(goCreated, id, 100))
		call := Call{ID: id, Writer: Writer{Tgid: 1, Context: 7}, EndContext: tc.end, Start: 11 * ms, End: 12 * ms}
		require.Equal(t, tc.want, decide(s, call).Outcome)
	}
}

// A goroutine that has written calls of two requests was created in one of them by chance.
func TestSharedWriterLosesInheritedEvidence(t *testing.T) {
	s, _ := newSolver()
	writer := Writer{Tgid: 1, Context: 7}
	for i := uint64(1); i <= 3; i++ {
		s.Began(i*100, i*100, 10*ms, reader)
	}
	for i := uint64(1); i <= 2; i++ {
		s.Evidence(evidence(channelBack, i, i*100))
		require.Equal(t, Linked, decide(s, Call{ID: i, Writer: writer, Start: 11 * ms, End: 12 * ms}).Outcome)
	}
	s.Evidence(evidence(goCreated, 3, 300))
	writer.Tid = 99
	call := Call{ID: 3, Writer: writer, EndContext: 7, Start: 11 * ms, End: 12 * ms}
	require.Equal(t, Untrusted, decide(s, call).Outcome)
	s.Evidence(evidence(goCreated, 4, 300))
	call.ID, call.Writer.Context, call.EndContext = 4, 8, 8
	require.Equal(t, Linked, decide(s, call).Outcome, "another goroutine")
}

// On a connection that several requests share, only what the writer itself served is certain.
func TestSharedConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		kind uint8
		call Call
		want Outcome
	}{
		"forward, first":       {channel, Call{Overlapped: true}, Linked},
		"forward, later":       {channel, Call{Overlapped: true, Later: true}, Untrusted},
		"back":                 {channelBack, Call{Overlapped: true}, Untrusted},
		"back to a task":       {taskBack, Call{Overlapped: true}, Untrusted},
		"the writer's own":     {sameThread, Call{Overlapped: true, Later: true}, Linked},
		"one write, forward":   {channel, Call{Together: true}, Untrusted},
		"one write, back":      {channelBack, Call{Together: true, EndContext: 9}, Untrusted},
		"one write of its own": {channelBack, Call{Together: true}, Linked},
		"back, nothing shared": {channelBack, Call{}, Linked},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			s.Began(100, 100, 10*ms, reader)
			s.Evidence(evidence(tc.kind, 1, 100))
			tc.call.ID, tc.call.Start, tc.call.End = 1, 11*ms, 12*ms
			require.Equal(t, tc.want, decide(s, tc.call).Outcome)
		})
	}
}

// Two commands in one write are two exchanges of one call.
func TestCallsOfOneWrite(t *testing.T) {
	s, _ := newSolver()
	s.Began(100, 100, 10*ms, reader)
	s.Evidence(evidence(sameThread, 1, 100))
	for range 2 {
		require.Equal(t, Linked, decide(s, Call{ID: 1, Start: 11 * ms, End: 12 * ms}).Outcome)
	}
	for i := range uint64(3) {
		later := evidence(sameThread, 100+i, 100)
		later.Ts = i * uint64(time.Hour)
		s.Evidence(later)
	}
	require.Nil(t, s.ledger.find(1), "forgotten")
}

func TestHeldUntilTheRequestEnds(t *testing.T) {
	s, _ := newSolver()
	s.Began(100, 100, 10*ms, reader)
	s.Evidence(evidence(channel, 1, 100))
	var got *Answer
	s.Hold(Call{ID: 1, Writer: reader, Start: 11 * ms, End: 12 * ms}, func(a Answer) { got = &a })
	s.Tick(500 * ms)
	require.Nil(t, got, "the request is open")
	s.Ended(100, 100, 600*ms, Writer{})
	s.Tick(700 * ms)
	require.Nil(t, got, "the grace is not over")
	s.Evidence(evidence(channelBack, 1, 100))
	s.Tick(801 * ms)
	require.NotNil(t, got)
	require.Equal(t, []string{"channel", "channel_back"}, got.Hints)
}

func TestHoldIsBounded(t *testing.T) {
	s, counts := newSolver()
	s.Began(100, 100, 10*ms, reader)
	s.Evidence(evidence(sameThread, 1, 100))
	answered := 0
	for i := range 101 {
		s.Hold(Call{ID: uint64(i + 1), Start: 11 * ms, End: 12 * ms}, func(Answer) { answered++ })
	}
	require.Equal(t, 1, answered)
	require.EqualValues(t, 1, counts.Hurried.Load())
	s.Tick(12*ms + uint64(5*time.Second) + 1)
	require.Equal(t, 101, answered)
	require.Zero(t, s.Waiting())
}

// A request that was never answered collects no calls for ever.
func TestRequestsAge(t *testing.T) {
	s, _ := newSolver()
	s.Began(100, 100, 10*ms, reader)
	hour := uint64(time.Hour)
	for id, tc := range map[uint64]struct {
		start uint64
		want  Outcome
	}{1: {10*ms + hour, Linked}, 2: {10*ms + hour + 1, Aged}} {
		s.Evidence(evidence(sameThread, id, 100))
		require.Equal(t, tc.want, decide(s, Call{ID: id, Start: tc.start, End: tc.start}).Outcome)
	}
	late := evidence(sameThread, 3, 7)
	late.Ts = 3 * hour
	s.Evidence(late)
	require.Empty(t, s.requests.turns)
}

// A goroutine that outlives the request in which it was created may work for others.
func TestCreatedForMoreThanOneRequest(t *testing.T) {
	for _, more := range []bool{false, true} {
		s, _ := newSolver()
		writer := Writer{Tgid: 1, Context: 7}
		s.Began(100, 100, 10*ms, reader)
		s.Evidence(evidence(goCreated, 1, 100))
		s.Ended(100, 100, 20*ms, Writer{})
		var got Answer
		s.Hold(Call{ID: 1, Writer: writer, EndContext: 7, Start: 11 * ms, End: 12 * ms}, func(a Answer) { got = a })
		if more {
			s.Hold(Call{ID: 2, Writer: writer, EndContext: 7, Start: 30 * ms, End: 31 * ms}, func(Answer) {})
		}
		s.Flush()
		require.Equal(t, !more, got.Outcome == Linked)
	}
}

// A thread that lives on is one of a pool that has grown: of several requests, or of one that it was not
// made in, while that is open.
func TestThreadsOfAPool(t *testing.T) {
	for name, tc := range map[string]struct {
		ended event.Origin
		want  Outcome
	}{
		"its only task":       {event.Origin{What: event.Ended, Tgid: 1, Child: 7, Parent: 100}, Linked},
		"lives":               {event.Origin{What: event.Busy}, Untrusted},
		"another thread":      {event.Origin{What: event.Ended, Tgid: 1, Child: 8, Parent: 100}, Untrusted},
		"of another process":  {event.Origin{What: event.Ended, Tgid: 2, Child: 7, Parent: 100}, Untrusted},
		"the number, earlier": {event.Origin{What: event.Ended, Tgid: 1, Child: 7, Parent: 99}, Untrusted},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			s.Began(100, 100, 10*ms, reader)
			s.Evidence(evidence(spawn, 1, 100))
			s.Origin(&tc.ended)
			call := Call{ID: 1, Writer: Writer{Tgid: 1, Tid: 7}, EndTid: 7, Start: 11 * ms, End: 12 * ms}
			require.Equal(t, tc.want, decide(s, call).Outcome)
		})
	}
}

// After the response only the first call of a context tells where it comes from: one that goes on works
// for whoever comes.
func TestLateIsTheFirstCall(t *testing.T) {
	s, _ := newSolver()
	writer := Writer{Tgid: 1, Context: 7, Kind: event.Python}
	s.Began(100, 100, 10*ms, reader)
	s.Ended(100, 100, 20*ms, Writer{})
	for i, want := range []uint64{100, 0} {
		id := uint64(i + 1)
		s.Evidence(evidence(copied, id, 100))
		got := decide(s, Call{ID: id, Writer: writer, EndContext: 7, Start: (30 + 10*id) * ms, End: (35 + 10*id) * ms})
		require.Equal(t, Late, got.Outcome)
		require.Equal(t, want, got.Request)
	}
}

func TestLivesAreBounded(t *testing.T) {
	l := lives{}
	for i := range 5 * uint32(maxLives) {
		l.ended(life{tid: i})
	}
	require.LessOrEqual(t, len(l.now)+len(l.old), 2*maxLives)
	require.True(t, l.isOver(life{tid: 5*maxLives - 1}))
	require.False(t, l.isOver(life{tid: 0}))
}

func TestTurnsAreForgotten(t *testing.T) {
	s, _ := newSolver()
	for i := uint64(1); i <= 1000; i++ {
		s.Began(i, i, i*ms, reader)
		s.Ended(i, i, i*ms+1, Writer{})
	}
	s.Tick(uint64(time.Hour))
	require.Empty(t, s.requests.turns)
}

// Shuffling evidence changes no answer; losing some makes no wrong link, also where what is left would be overruled by it.
func TestOrderAndLoss(t *testing.T) {
	type truth struct{ call, epoch uint64 }
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var all []*event.Evidence
		var calls []truth
		for c := uint64(1); c <= 20; c++ {
			epoch := 100 + rng.Uint64N(5)
			calls = append(calls, truth{c, epoch})
			for _, k := range []uint8{sameThread, channel, channelBack} {
				if rng.IntN(2) == 0 {
					all = append(all, evidence(k, c, epoch))
				}
			}
			if rng.IntN(3) == 0 {
				all = append(all, evidence(goCreated, c, 100+rng.Uint64N(5)))
			}
		}
		answers := func(edges []*event.Evidence) map[uint64]Answer {
			s, _ := newSolver()
			if len(edges) < len(all) {
				s.Lost(21*ms, 22*ms)
			}
			for e := uint64(100); e < 105; e++ {
				s.Began(e, e, 1*ms, reader)
			}
			for _, e := range edges {
				s.Evidence(e)
			}
			out := map[uint64]Answer{}
			for _, c := range calls {
				// each call has a writer of its own: what is remembered of writers is not at test here
				out[c.call] = decide(s, Call{ID: c.call, Writer: Writer{Tgid: 1, Context: c.call}, Start: 20 * ms, End: 21 * ms})
			}
			return out
		}
		whole := answers(all)
		shuffled := append([]*event.Evidence(nil), all...)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for call, a := range answers(shuffled) {
			require.Equal(t, whole[call].Request, a.Request)
			require.ElementsMatch(t, whole[call].Hints, a.Hints)
		}
		left := make([]*event.Evidence, 0, len(all))
		for _, e := range all[1:] {
			if rng.IntN(10) != 0 {
				left = append(left, e)
			}
		}
		for call, a := range answers(left) {
			if a.Outcome == Linked {
				require.Equal(t, calls[call-1].epoch, a.Request)
			}
		}
	}
}

func BenchmarkSolve(b *testing.B) {
	s, _ := newSolver()
	s.Began(100, 100, 1, reader)
	forward, back := evidence(channel, 1, 100), evidence(channelBack, 1, 100)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		id := uint64(i)
		forward.Call, back.Call = id, id
		s.Evidence(forward)
		s.Evidence(back)
		s.Hold(Call{ID: id, Writer: reader, Start: 2, End: 3}, func(Answer) {})
		s.Flush()
	}
}

// Calls that get no request: of the background, of a pool, of a chain, and those whose evidence does not keep the rules.
func BenchmarkRefuse(b *testing.B) {
	for name, of := range map[string]struct {
		later bool
		kinds []uint8
	}{
		"nothing": {}, "hint": {kinds: []uint8{wake}}, "chain": {kinds: []uint8{next, wake, connected}},
		"rules": {true, []uint8{goParent, goCreated, spawn}}, "context": {true, []uint8{loop}},
	} {
		b.Run(name, func(b *testing.B) {
			s, counts := newSolver()
			who := reader
			if name == "context" {
				who = Writer{Tgid: 1, Context: 5, Kind: event.Python}
			}
			s.Began(100, 100, 1, who)
			s.Ended(100, 100, 20*ms, who)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				id := uint64(i) + 1000
				for _, kind := range of.kinds {
					e := event.Evidence{What: kind, Call: id, Epoch: 100, Tgid: 1, Uses: 1, Ts: 10 * ms}
					if kind == next {
						e.Epoch = id - 1
					}
					s.Evidence(&e)
				}
				s.Hold(Call{ID: id, Writer: who, Start: 2, End: 3, Later: of.later}, func(Answer) {})
				s.Flush()
			}
			if n := counts.Outcome(Linked); n > 0 {
				b.Fatalf("%d were linked", n)
			}
		})
	}
}

// TestWhatLeavesAtTheEndOfARound: a loop that sends what its tasks have written when its round is over may send a call
// before the response that was written before it. What the response has waited for is not such a call.
func TestWhatLeavesAtTheEndOfARound(t *testing.T) {
	for name, tc := range map[string]struct {
		defers     bool
		writer     uint32
		start, end uint64
		want       Outcome
	}{
		"its response comes after that of the request": {defers: true, writer: 7, start: 180 * ms, end: 240 * ms, want: Late},
		"the request has waited for it":                {defers: true, writer: 7, start: 180 * ms, end: 190 * ms, want: Linked},
		"the request has given it up":                  {defers: true, writer: 7, start: 20 * ms, end: 240 * ms, want: Linked},
		"another thread has written it":                {defers: true, writer: 5, start: 180 * ms, end: 240 * ms, want: Linked},
		"what is written leaves at once":               {writer: 7, start: 180 * ms, end: 240 * ms, want: Linked},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			s.options.Habits = func(tgid uint32) Habits { return Habits{Defers: tc.defers && tgid == 1} }
			loop := Writer{Tgid: 1, Tid: 7, Context: 70, Kind: event.Python}
			call := Call{ID: 1, Writer: loop, EndTid: 7, EndContext: 70, Start: tc.start, End: tc.end}
			call.Writer.Tid = tc.writer
			s.Began(100, 100, 10*ms, loop)
			s.Evidence(&event.Evidence{What: inContext, Call: 1, Epoch: 100, Tgid: 1, Ts: tc.start})
			s.Ended(100, 100, 200*ms, loop)
			require.Equal(t, tc.want, s.weigh(&call, s.processes.of(1), false, 0).outcome)
		})
	}
}
