package causality

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// The invariants of reference/causality.md section 4, by their numbers.

// The model says what it is meant to: nearly all is linked, and all of it right.
func TestModel(t *testing.T) {
	calls, children, chains, right, late := 0, 0, 0, 0, 0
	each(t, func(t *testing.T, w *world, seed uint64) {
		r, _ := w.run(modelOptions(), everyTick(rand.New(rand.NewPCG(seed, 1))), nil)
		require.Len(t, r.answers, len(w.calls), "every call is answered")
		right += w.judge(t, r)
		for id, c := range w.calls {
			calls++
			if c.request != 0 && !c.late {
				children++
				if c.chain {
					chains++
				}
			}
			if r.answers[id][0].Outcome == Late && r.answers[id][0].Request != 0 {
				late++
			}
		}
	})
	t.Logf("%d calls, %d of them children, %d of these only through chains; %d linked, %d late", calls, children, chains, right, late)
	require.Greater(t, right, (children-chains)*99/100)
	require.Positive(t, late)
}

func TestI1I2CallsAreWithinTheirRequest(t *testing.T) {
	each(t, func(t *testing.T, w *world, _ uint64) {
		// Evidence that names requests of any time.
		var all []uint64
		for id := range w.requests {
			all = append(all, id)
		}
		for id := range w.calls {
			for range 2 {
				if what := uint8(1 + w.rng.IntN(kindCount-1)); what != next {
					w.say(w.calls[id].Start, Writer{Tgid: 1}, true, event.Evidence{What: what, Call: id, Epoch: all[w.rng.IntN(len(all))]})
				}
			}
		}
		r, _ := w.run(modelOptions(), everyTick(w.rng), nil)
		for id, answers := range r.answers {
			if a := answers[0]; a.Outcome == Linked {
				require.GreaterOrEqual(t, w.calls[id].Start, w.requests[a.Request][0], "I1")
				require.LessOrEqual(t, w.calls[id].Start, w.requests[a.Request][1], "I2")
			}
		}
	})
}

// I3: one request for each set of calls. A call that is linked through a chain has the request of what
// was known before and after it.
func TestI3OneRequestForEachChain(t *testing.T) {
	each(t, func(t *testing.T, w *world, _ uint64) {
		// Joints between any two calls.
		ids := make([]uint64, 0, len(w.calls))
		for id := range w.calls {
			ids = append(ids, id)
		}
		for range 200 {
			a, b := ids[w.rng.IntN(len(ids))], ids[w.rng.IntN(len(ids))]
			w.say(w.calls[a].Start, Writer{Tgid: 1}, true, event.Evidence{What: next, Call: a, Epoch: b, Uses: 1})
		}
		_, s := w.run(modelOptions(), nil, nil)
		for _, m := range []map[uint64]*record{s.ledger.now, s.ledger.old} {
			for id, rec := range m {
				call, e := rec.previous()
				if e == nil || !rec.decided || rec.verdict.outcome == Linked {
					continue
				}
				before := s.ledger.find(call)
				if before == nil || !before.decided {
					continue
				}
				last, ok := s.completion(rec, &rec.verdict)
				first, _ := s.beginning(rec, &rec.verdict)
				if ok && first != 0 && first != last.request {
					h := &held{call: Call{ID: id, Start: w.calls[id].Start, Writer: Writer{Tgid: 1}}, record: rec, process: s.processes.of(1)}
					_, why := s.chained(h, &rec.verdict)
					require.NotZero(t, why, "a joint would put two requests into one set")
				}
			}
		}
	})
}

// I4, I14: nothing crosses processes.
func TestI4I14ProcessesAreApart(t *testing.T) {
	each(t, func(t *testing.T, w *world, _ uint64) {
		var all []uint64
		of := map[uint64]uint32{}
		for _, st := range w.steps {
			if st.edge != nil && !st.guess && st.edge.What != next {
				of[st.edge.Epoch] = st.who.Tgid
				all = append(all, st.edge.Epoch)
			}
		}
		for i, n := 0, len(w.steps); i < n; i++ {
			st := w.steps[i]
			if st.edge == nil {
				continue
			}
			to := all[w.rng.IntN(len(all))]
			if of[to] != st.who.Tgid {
				w.say(st.ts, st.who, true, event.Evidence{What: channelBack, Call: st.edge.Call, Epoch: to})
			}
		}
		r, _ := w.run(modelOptions(), everyTick(w.rng), nil)
		w.judge(t, r)
	})
	// A number that another process has now starts anew.
	instance := uint64(1)
	o := modelOptions()
	o.Identify = func(uint32) (uint64, string) { return instance, "s" }
	s := NewSolver(o, &Counts{})
	for range 300 {
		s.processes.check(1, 1).tried(sureChain, true)
	}
	require.True(t, s.processes.check(1, 1).trusted(sureChain))
	instance = 2
	require.False(t, s.processes.check(1, 1).trusted(sureChain), "learned in another process")
}

// I5: a request is not consumed.
func TestI5AnyNumberOfCalls(t *testing.T) {
	for n := 1; n <= 64; n++ {
		s, _ := newSolver()
		s.options.MaxHeld = 1000
		s.Began(100, 100, 10*ms, reader)
		order := rand.New(rand.NewPCG(uint64(n), 0)).Perm(n)
		linked := 0
		for _, i := range order {
			s.Evidence(evidence(channelBack, uint64(i+1), 100))
			s.Hold(Call{ID: uint64(i + 1), Writer: reader, Start: 11 * ms, End: 12 * ms}, func(a Answer) {
				if a.Outcome == Linked && a.Request == 100 {
					linked++
				}
			})
		}
		s.Flush()
		require.Equal(t, n, linked)
	}
}

// I6: what was forgotten is not known any more, and never something else.
func TestI6ForgottenRequestsStayForgotten(t *testing.T) {
	s, _ := newSolver()
	s.Began(100, 100, 10*ms, reader)
	s.Ended(100, 100, 20*ms, reader)
	s.Tick(uint64(time.Minute))
	s.Began(101, 101, 10*ms, reader)
	s.Evidence(evidence(channelBack, 1, 100))
	require.Equal(t, UnknownRequest, decide(s, Call{ID: 1, Start: 11 * ms, End: 12 * ms}).Outcome)
}

// I7: what comes when all is decided changes nothing.
func TestI7Stale(t *testing.T) {
	each(t, func(t *testing.T, w *world, _ uint64) {
		r, s := w.run(modelOptions(), everyTick(w.rng), nil)
		before := links(r, false)
		end := uint64(0)
		for _, span := range w.requests {
			end = max(end, span[1])
		}
		for id := range w.calls {
			for other := range w.requests {
				s.Evidence(&event.Evidence{What: channelBack, Call: id, Epoch: other, Tgid: 1, Ts: end})
				s.Ended(other, other, end, Writer{})
				break
			}
		}
		s.Tick(end + uint64(time.Hour))
		s.Flush()
		require.Equal(t, before, links(r, false))
		w.judge(t, r)
	})
}

// I8: nothing is equal to nothing.
func TestI8ZeroJoinsNothing(t *testing.T) {
	s, _ := newSolver()
	s.Began(0, 7, 10*ms, reader)
	s.Began(0, 0, 10*ms, reader)
	s.Began(7, 0, 10*ms, reader)
	for what := uint8(1); what < kindCount; what++ {
		for _, epoch := range []uint64{0, 7} {
			for _, call := range []uint64{0, uint64(what)} {
				s.Evidence(evidence(what, call, epoch))
			}
		}
		require.NotEqual(t, Linked, decide(s, Call{ID: uint64(what), Start: 11 * ms, End: 12 * ms}).Outcome)
	}
	require.NotEqual(t, Linked, decide(s, Call{Start: 11 * ms, End: 12 * ms}).Outcome)
}

// I9: evidence may come in any order.
func TestI9AnyOrder(t *testing.T) {
	each(t, func(t *testing.T, w *world, seed uint64) {
		want, _ := w.run(modelOptions(), nil, nil)
		rng := rand.New(rand.NewPCG(seed, 9))
		// Each record may come up to a millisecond late.
		for i := range w.steps {
			if w.steps[i].edge != nil {
				w.steps[i].ts += rng.Uint64N(ms)
				w.steps[i].seen = rng.IntN(len(w.steps))
			}
		}
		got, _ := w.run(modelOptions(), nil, nil)
		require.Equal(t, links(want, true), links(got, true))
		w.judge(t, got)
	})
}

// I10: less evidence makes fewer links, not others; more work for nobody makes none.
func TestI10MonotoneTrust(t *testing.T) {
	each(t, func(t *testing.T, w *world, seed uint64) {
		for what := uint8(1); what < kindCount; what++ {
			r, _ := w.run(modelOptions(), everyTick(rand.New(rand.NewPCG(seed, 10))), func(st *step) bool {
				return st.edge == nil || st.edge.What != what
			})
			w.judge(t, r)
		}
		want, _ := w.run(modelOptions(), nil, nil)
		for range 200 {
			backgroundShape(w, w.between(10, 500)*ms, uint32(1+w.rng.IntN(3)))
		}
		got, _ := w.run(modelOptions(), nil, nil)
		require.Equal(t, links(want, true), links(got, true))
	})
}

// I11: records get lost.
func TestI11LostRecords(t *testing.T) {
	each(t, func(t *testing.T, w *world, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 11))
		for range 3 {
			r, _ := w.run(modelOptions(), everyTick(rng), func(st *step) bool { return st.edge == nil || rng.IntN(10) != 0 })
			w.judge(t, r)
		}
		// Also those of requests.
		r, _ := w.run(modelOptions(), everyTick(rng), func(st *step) bool {
			return st.edge == nil && !st.began || rng.IntN(10) != 0
		})
		w.judge(t, r)
	})
}

// I12: names are only names.
func TestI12Renaming(t *testing.T) {
	for seed := range uint64(5) {
		rename := func(id uint64) uint64 { return id*0x9e3779b97f4a7c15 | 1<<63 }
		back := map[uint64]uint64{}
		plain := newWorld(seed, 250, nil)
		other := newWorld(seed, 250, func(id uint64) uint64 {
			n := rename(id)
			back[n] = id
			return n
		})
		// The same world under other names: what is random in it is not.
		require.Len(t, other.steps, len(plain.steps))
		a, _ := plain.run(modelOptions(), nil, nil)
		b, _ := other.run(modelOptions(), nil, nil)
		got := map[uint64]uint64{}
		for call, request := range links(b, false) {
			got[back[call]] = back[request]
		}
		require.Equal(t, links(a, true), filter(got, links(a, true)))
		other.judge(t, b)
	}
}

func filter(m, by map[uint64]uint64) map[uint64]uint64 {
	out := map[uint64]uint64{}
	for k, v := range m {
		if _, ok := by[k]; ok {
			out[k] = v
		}
	}
	return out
}

// I13: what says that a call belongs here and what says that it belongs there cancel each other.
func TestI13TwoSided(t *testing.T) {
	for what := uint8(1); what < kindCount; what++ {
		for other := uint8(1); other < kindCount; other++ {
			a, b := &kinds[what], &kinds[other]
			if a.trust != given || b.trust != given {
				continue
			}
			s, _ := newSolver()
			s.Began(100, 100, 10*ms, reader)
			s.Began(200, 200, 10*ms, reader)
			for _, e := range []*event.Evidence{evidence(what, 1, 100), evidence(other, 1, 200)} {
				if e.What == allocated || e.What == awaited {
					e.Uses = taskAwaited
				}
				s.Evidence(e)
			}
			for _, request := range []uint64{100, 200} { // of threads that were made for it
				s.Origin(&event.Origin{What: event.Ended, Tgid: 1, Parent: request})
			}
			got := decide(s, Call{ID: 1, Start: 11 * ms, End: 12 * ms})
			switch {
			case a.rank == b.rank:
				require.Equal(t, Conflict, got.Outcome, "%s, %s", a.hint, b.hint)
			case a.rank < b.rank:
				require.EqualValues(t, 100, got.Request, "%s, %s", a.hint, b.hint)
			default:
				require.EqualValues(t, 200, got.Request, "%s, %s", a.hint, b.hint)
			}
		}
	}
}

// I15: it does not matter when time is let pass.
func TestI15BatchAndStreaming(t *testing.T) {
	each(t, func(t *testing.T, w *world, seed uint64) {
		batch, _ := w.run(modelOptions(), nil, nil)
		for i := range uint64(4) {
			streaming, _ := w.run(modelOptions(), everyTick(rand.New(rand.NewPCG(seed, i))), nil)
			require.Equal(t, links(batch, true), links(streaming, true))
			for id, request := range links(batch, false) {
				if a := streaming.answers[id][0]; a.Outcome == Linked {
					require.Equal(t, request, a.Request)
				}
			}
		}
	})
}

// I16: nothing grows for ever.
func TestI16BoundedMemory(t *testing.T) {
	o := modelOptions()
	o.MaxHeld = 64
	o.Identify = func(tgid uint32) (uint64, string) { return uint64(tgid), string(rune('a' + tgid%1000)) }
	c := &Counts{}
	s := NewSolver(o, c)
	most := 0
	for i := uint64(1); i <= 300_000; i++ {
		ts := i * ms
		who := Writer{Tgid: uint32(i % 20_000), Tid: 7, Context: i}
		s.Began(i, i, ts, who)
		s.Evidence(&event.Evidence{What: channel, Call: i, Epoch: i, Segment: i, Ts: ts, Tgid: who.Tgid})
		s.Evidence(&event.Evidence{What: next, Call: i, Epoch: 1 + i%7, Ts: ts, Tgid: who.Tgid})
		if i%3 != 0 { // the others are of a protocol that is not parsed
			s.Hold(Call{ID: i, Writer: who, Start: ts, End: ts + 1, Operation: i}, func(Answer) {})
		}
		if i%2 == 0 { // the others are never answered
			s.Ended(i, i, ts+2, who)
		}
		if i%64 == 0 {
			s.Tick(ts)
		}
		most = max(most, s.Waiting())
	}
	require.LessOrEqual(t, most, o.MaxHeld)
	require.Positive(t, c.Hurried.Load())
	require.LessOrEqual(t, len(s.ledger.now), maxCalls+1)
	require.LessOrEqual(t, len(s.ledger.old), maxCalls+1)
	require.LessOrEqual(t, len(s.processes.known), maxProcesses)
	require.LessOrEqual(t, len(c.Services()), maxServices+1)
	for _, p := range s.processes.known {
		require.LessOrEqual(t, len(p.signatures.list), maxSignatures)
	}
	// When nothing happens any more all of it goes.
	end := uint64(300_000) * ms
	for i := range uint64(40) {
		now := end + i*uint64(10*time.Minute)
		s.Evidence(&event.Evidence{What: channel, Call: 1<<40 + i, Epoch: 1, Ts: now, Tgid: 1})
		s.Tick(now)
	}
	require.Zero(t, s.Waiting())
	require.Less(t, len(s.ledger.now)+len(s.ledger.old), 10)
	require.Empty(t, s.requests.turns)
	require.Empty(t, s.tasks.now)
	require.Less(t, len(s.writers.now)+len(s.writers.old), 10)
	require.Less(t, len(s.processes.known), 10)
}
