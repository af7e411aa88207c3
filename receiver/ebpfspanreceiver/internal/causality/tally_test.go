package causality

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// checkCounts fails on a count that is not the truth: as many calls as carry the request's id, whenever they
// were answered, and as many as were made for it. It returns how many requests had which fate.
func (w *world) checkCounts(t *testing.T, r *results, made bool) (fates [len(Fates)]int) {
	t.Helper()
	carry, truly := map[uint64]int{}, map[uint64]int{}
	for id, c := range w.calls {
		if c.request != 0 && !c.late {
			truly[c.request]++
		}
		for _, a := range r.answers[id] {
			if a.Outcome == Linked {
				carry[a.Request]++
			}
		}
	}
	for id, told := range r.counts {
		require.Len(t, told, 1, "request %d is told of once", id)
		c := told[0]
		fates[c.Fate]++
		if c.Fate != Counted {
			continue
		}
		require.Equal(t, carry[id], c.Calls, "request %d: calls that carry its id", id)
		if made {
			require.Equal(t, truly[id], c.Calls, "request %d: calls that it made", id)
		}
	}
	return fates
}

// soon lets requests be counted while others are served.
func soon() Options {
	o := modelOptions()
	o.Grace = 3 * time.Millisecond
	return o
}

// The count is the truth whenever it is told.
func TestCountsAreTrue(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(w *world)
		keep    func(*rand.Rand, *step) bool
		least   int // counted, of about 250 requests a world
	}{
		"all there": {least: 60},
		"evidence is late": {prepare: func(w *world) {
			for i := range w.steps {
				if w.steps[i].edge != nil {
					w.steps[i].ts += w.rng.Uint64N(ms)
				}
			}
		}, least: 60},
		"evidence is lost": {keep: func(rng *rand.Rand, st *step) bool { return st.edge == nil || rng.IntN(10) != 0 }, least: 30},
		"guesses and all": {prepare: func(w *world) {
			for id, c := range w.calls {
				if len(w.requests) > 0 && w.rng.IntN(3) == 0 {
					for r := range w.requests {
						w.say(c.Start, c.Writer, true, event.Evidence{What: wake, Call: id, Epoch: r})
						break
					}
				}
			}
		}, least: 30},
		"requests are lost": {keep: func(rng *rand.Rand, st *step) bool { return !st.began || rng.IntN(10) != 0 }, least: 30},
	} {
		t.Run(name, func(t *testing.T) {
			var fates [len(Fates)]int
			eachOf(t, 5, func(t *testing.T, w *world, seed uint64) {
				if tt.prepare != nil {
					tt.prepare(w)
				}
				rng := rand.New(rand.NewPCG(seed, 5))
				var keep func(*step) bool
				if tt.keep != nil {
					keep = func(st *step) bool { return tt.keep(rng, st) }
				}
				r, _ := w.run(soon(), everyTick(rand.New(rand.NewPCG(seed, 6))), keep)
				for i, n := range w.checkCounts(t, r, true) {
					fates[i] += n
				}
			})
			t.Log(spell(fates))
			require.Greater(t, fates[Counted], tt.least*8)
			require.Positive(t, fates[CallUnlinked])
			require.Positive(t, fates[CallUndecided])
			require.Positive(t, fates[CallOpen])
		})
	}
}

func spell(fates [len(Fates)]int) map[string]int {
	out := map[string]int{}
	for i, n := range fates {
		if n > 0 {
			out[Fates[i]] = n
		}
	}
	return out
}

// Records of calls get lost, and the kernel side says no more than that some were.
func TestLostCallsAreNotCounted(t *testing.T) {
	var fates [len(Fates)]int
	eachOf(t, 5, func(t *testing.T, w *world, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 12))
		for id, c := range w.calls {
			if c.request == 0 || rng.IntN(20) != 0 {
				continue
			}
			// It is not seen at all, and what tells of the loss comes when it is looked for.
			for i := range w.steps {
				if w.steps[i].ends == id {
					w.steps[i].tell, w.steps[i].ends = func(*Solver, *results) {}, 0
				}
			}
			at := c.Start + w.between(0, 2)*ms
			w.at(at, c.Writer, func(s *Solver, r *results) { s.Lost(at, at); r.held[id] = true })
		}
		// Saw follows Lost: the last look at the counters was up to 2 ms after the loss.
		o := soon()
		r, _ := w.run(o, everyTick(rng), nil)
		for i, n := range w.checkCounts(t, r, true) {
			fates[i] += n
		}
	})
	t.Log(spell(fates))
	require.Positive(t, fates[RecordsLost])
	require.Positive(t, fates[Counted])
}

// A call that nobody knew of when its request was counted does not carry its id: it says where it comes from.
func TestCallsThatComeAfterTheCountGiveWay(t *testing.T) {
	after := 0
	eachOf(t, 5, func(t *testing.T, w *world, seed uint64) {
		late := map[uint64]bool{}
		for i := range w.steps {
			if id := w.steps[i].ends; id != 0 && w.rng.IntN(5) == 0 {
				late[id] = true // its write blocks for so long
				w.steps[i].ts += w.between(20, 60) * ms
			}
		}
		o := soon()
		o.UnderWay = func(uint32, func(Call)) {}
		r, _ := w.run(o, everyTick(rand.New(rand.NewPCG(seed, 6))), nil)
		w.checkCounts(t, r, false)
		for id, a := range r.answers {
			if a[0].Outcome == Uncounted {
				after++
				require.Equal(t, w.calls[id].request, a[0].Request)
				require.Equal(t, Counted, r.counts[a[0].Request][0].Fate)
			}
		}
	})
	require.Positive(t, after)
}

// counting is one request, from 10 to 20 ms, with one call from 12 to 14 ms that is its, and one of another
// request that is still served.
type counting struct {
	*Solver
	open []Call
	got  []Count
}

func newCounting() *counting {
	c := &counting{}
	c.Solver = NewSolver(Options{
		Hold: time.Second, Grace: 200 * time.Millisecond, MaxHeld: 3, MaxAge: time.Hour,
		UnderWay: func(tgid uint32, each func(Call)) {
			for _, o := range c.open {
				if o.Writer.Tgid == tgid {
					each(o)
				}
			}
		},
	}, &Counts{})
	return c
}

func (c *counting) call(id, request, start, end uint64) {
	if request != 0 {
		c.Evidence(evidence(channelBack, id, request))
	}
	c.Hold(Call{ID: id, Writer: reader, Start: start, End: end}, func(Answer) {})
}

func (c *counting) take(n Count) { c.got = append(c.got, n) }

func TestFates(t *testing.T) {
	const due = 20*ms + 200*ms + 1
	for name, tt := range map[string]struct {
		during func(*counting)
		then   func(*counting)
		want   Count
	}{
		"a call of its own": {want: Count{Counted, 1}},
		"none but its own":  {during: func(c *counting) { c.call(7, 0, 9*ms, 11*ms) }, want: Count{Counted, 1}},
		"begun after":       {during: func(c *counting) { c.call(7, 0, 21*ms, 22*ms) }, want: Count{Counted, 1}},
		"nobody's":          {during: func(c *counting) { c.call(7, 0, 13*ms, 14*ms) }, want: Count{Fate: CallUndecided}},
		"nobody's in another process": {during: func(c *counting) {
			c.Hold(Call{ID: 7, Writer: Writer{Tgid: 9}, Start: 13 * ms, End: 14 * ms}, func(Answer) {})
		}, want: Count{Counted, 1}},
		"of an open request":     {during: func(c *counting) { c.call(7, 200, 13*ms, 14*ms) }, want: Count{Counted, 1}},
		"its own, over after it": {during: func(c *counting) { c.call(7, 100, 13*ms, 40*ms) }, want: Count{Fate: CallUndecided}},
		"not over":               {during: func(c *counting) { c.open = []Call{{ID: 7, Writer: reader, Start: 13 * ms}} }, want: Count{Fate: CallOpen}},
		"not over, at its start": {during: func(c *counting) { c.open = []Call{{ID: 7, Writer: reader, Start: 10 * ms}} }, want: Count{Fate: CallOpen}},
		"not over, at its end":   {during: func(c *counting) { c.open = []Call{{ID: 7, Writer: reader, Start: 20 * ms}} }, want: Count{Fate: CallOpen}},
		"not over, begun before": {during: func(c *counting) { c.open = []Call{{ID: 7, Writer: reader, Start: 9 * ms}} }, want: Count{Counted, 1}},
		"not over, elsewhere":    {during: func(c *counting) { c.open = []Call{{ID: 7, Writer: Writer{Tgid: 9}, Start: 13 * ms}} }, want: Count{Counted, 1}},
		"not over, another's": {during: func(c *counting) {
			c.open = []Call{{ID: 7, Writer: reader, Start: 13 * ms}}
			c.Evidence(evidence(channelBack, 7, 200))
		}, want: Count{Counted, 1}},
		"not over, another's by birth": {during: func(c *counting) {
			c.open = []Call{{ID: 7, Writer: reader, Start: 13 * ms}}
			c.Evidence(evidence(goCreated, 7, 200))
		}, want: Count{Fate: CallOpen}},
		"not over, its own": {during: func(c *counting) {
			c.open = []Call{{ID: 7, Writer: reader, Start: 13 * ms}}
			c.Evidence(evidence(channelBack, 7, 100))
		}, want: Count{Fate: CallOpen}},
		"bytes of no call":      {during: func(c *counting) { c.open = []Call{{Writer: reader, Start: 13 * ms}} }, want: Count{Fate: CallOpen}},
		"unread":                {during: func(c *counting) { c.Unread(reader.Tgid, 5*ms, 10*ms) }, want: Count{Fate: Unread}},
		"unread before":         {during: func(c *counting) { c.Unread(reader.Tgid, 5*ms, 9*ms) }, want: Count{Counted, 1}},
		"unread elsewhere":      {during: func(c *counting) { c.Unread(9, 15*ms, 15*ms) }, want: Count{Counted, 1}},
		"lost":                  {during: func(c *counting) { c.Lost(10*ms, 10*ms) }, want: Count{Fate: RecordsLost}},
		"lost before":           {during: func(c *counting) { c.Lost(10*ms-1, 10*ms-1) }, want: Count{Counted, 1}},
		"lost when it was over": {during: func(c *counting) { c.Lost(150*ms, 150*ms) }, want: Count{Fate: RecordsLost}},
		"pipelined, without calls": {during: func(c *counting) {
			c.Began(300, 300, 10*ms, reader)
			c.Began(300, 301, 10*ms, reader)
			c.Ended(300, 300, 11*ms, reader)
			c.got = nil
			c.tallies = nil
			c.Count(reader.Tgid, 300, 300, c.take)
		}, want: Count{Counted, 0}},
		"pipelined":             {during: func(c *counting) { c.Began(100, 101, 11*ms, reader) }, want: Count{Fate: Pipelined}},
		"another of the number": {during: func(c *counting) { c.Count(reader.Tgid, 100, 999, c.take) }, want: Count{Fate: Unwatched}},
		"three more": {during: func(c *counting) {
			for id := uint64(300); id < 303; id++ {
				c.Began(id, id, 10*ms, reader)
				c.Ended(id, id, 20*ms, reader)
				c.Count(reader.Tgid, id, id, func(Count) {})
			}
		}, want: Count{Fate: TooMany}},
		"not read": {then: func(c *counting) { c.Tick(due); require.Empty(t, c.got); c.Tick(due + uint64(time.Second)) }, want: Count{Fate: Behind}},
		"not known whether lost": {then: func(c *counting) {
			c.Saw(due, 20*ms)
			c.Tick(due)
			require.Empty(t, c.got)
			c.Tick(due + uint64(time.Second))
		}, want: Count{Fate: Behind}},
		"read a little later": {then: func(c *counting) {
			c.Saw(due-1, due)
			c.Tick(due)
			require.Empty(t, c.got)
			c.Saw(due, due)
			c.Tick(due)
		}, want: Count{Counted, 1}},
		"stopped":                      {then: func(c *counting) { c.Flush() }, want: Count{Fate: Stopped}},
		"no sooner than all can be it": {then: func(c *counting) { c.Saw(due, due); c.Tick(due - 1); require.Empty(t, c.got); c.Tick(due) }, want: Count{Counted, 1}},
		"a decided one that is nobody's": {during: func(c *counting) {
			c.call(7, 300, 13*ms, 14*ms) // of a request that is over and not known
			c.answer(c.waiting[len(c.waiting)-1])
			c.waiting = c.waiting[:len(c.waiting)-1]
		}, want: Count{Fate: CallUnlinked}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCounting()
			c.Began(100, 100, 10*ms, reader)
			c.Began(200, 200, 5*ms, reader)
			c.call(1, 100, 12*ms, 14*ms)
			c.Ended(100, 100, 20*ms, reader)
			c.Count(reader.Tgid, 100, 100, c.take)
			if tt.during != nil {
				tt.during(c)
			}
			if tt.then != nil {
				tt.then(c)
			} else {
				c.Saw(due, due)
				c.Tick(due)
			}
			require.NotEmpty(t, c.got)
			require.Equal(t, tt.want, c.got[0])
			require.EqualValues(t, 1, c.processes.of(reader.Tgid).counts.Fates[tt.want.Fate].Load())
		})
	}
}

// Marks that have no room, or go with their process, cost counts and make none wrong.
func TestMarksForgetTowardsDoubt(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var m marks
		var all []interval
		for range 1 + rng.IntN(3*maxMarks) {
			from := rng.Uint64N(1000 * ms)
			i := interval{from, from + rng.Uint64N(5*ms)}
			all = append(all, i)
			m.add(i.from, i.to)
		}
		require.LessOrEqual(t, len(m.list), maxMarks)
		for range 50 {
			from := rng.Uint64N(1000 * ms)
			to := from + rng.Uint64N(20*ms)
			for _, i := range all {
				if i.from <= to && i.to >= from {
					require.True(t, m.during(from, to))
				}
			}
		}
	}
	var m marks
	m.add(10*ms, 10*ms)
	require.False(t, m.during(11*ms, 12*ms))
	require.EqualValues(t, 10*ms, m.last())

	c := newCounting()
	c.Unread(reader.Tgid, 15*ms, 15*ms)
	c.Began(100, 100, 10*ms, reader)
	c.processes.forget(reader.Tgid)
	c.Ended(100, 100, 20*ms, reader)
	c.Count(reader.Tgid, 100, 100, c.take)
	c.Saw(uint64(time.Second), uint64(time.Second))
	c.Tick(uint64(time.Second))
	require.Equal(t, []Count{{Fate: RecordsLost}}, c.got)
}

// A link that rests on times alone is no certainty, neither for its request nor for the others.
func TestStatisticalLinksAreNotCounted(t *testing.T) {
	s := guesser(0.95)
	const at = 400 * 100 * ms
	var got Count
	var answer Answer
	s.Began(400, 400, at, reader)
	s.Hold(Call{ID: 400, Writer: reader, Start: at + 2*ms, End: at + 5*ms}, func(a Answer) { answer = a })
	s.Ended(400, 400, at+8*ms, reader)
	s.Count(reader.Tgid, 400, 400, func(c Count) { got = c })
	now := at + uint64(10*time.Second)
	s.Saw(now, now)
	s.Tick(now)
	require.Equal(t, Statistical, answer.Class)
	require.EqualValues(t, 400, answer.Request)
	require.Equal(t, Count{Fate: CallUnlinked}, got)
}

// A process that gets its name when it was heard of already keeps its marks.
func TestMarksStayWithTheProcess(t *testing.T) {
	instance := uint64(0)
	o := modelOptions()
	o.Identify = func(uint32) (uint64, string) { return instance, "" }
	s := NewSolver(o, &Counts{})
	s.Unread(reader.Tgid, 15*ms, 15*ms)
	instance = 1
	s.Began(100, 100, 10*ms, reader)
	s.Ended(100, 100, 20*ms, reader)
	var got Count
	s.Count(reader.Tgid, 100, 100, func(c Count) { got = c })
	s.Saw(uint64(time.Second), uint64(time.Second))
	s.Tick(uint64(time.Second))
	require.Equal(t, Count{Fate: Unread}, got)
}
