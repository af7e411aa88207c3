package causality

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// Why a call has no request: each reason where it is the reason, and none where there is a link.
func TestRefusals(t *testing.T) {
	const request, other = 100, 200
	call := Call{ID: 1, Start: 20 * ms, End: 30 * ms, Writer: Writer{Tgid: 1, Tid: 5}, EndTid: 5}
	edge := func(what uint8, epoch uint64, change func(*event.Evidence)) *event.Evidence {
		e := evidence(what, 1, epoch)
		e.Tgid = 1
		if change != nil {
			change(e)
		}
		return e
	}
	later, elsewhere := call, call
	later.Later = true
	elsewhere.EndContext = 9
	loopAnswer := func(e *event.Evidence) { e.Segment, e.Uses, e.BaseUses = 77, 2, 1 }
	for name, tc := range map[string]struct {
		call     Call
		evidence []*event.Evidence
		want     []string
	}{
		"linked":                     {call, []*event.Evidence{edge(channelBack, request, nil)}, nil},
		"nothing":                    {call, nil, []string{"no_evidence"}},
		"a hint":                     {call, []*event.Evidence{edge(wake, request, nil)}, []string{"wake: never_alone"}},
		"the same hint twice":        {call, []*event.Evidence{edge(wake, request, nil), edge(wake, other, nil)}, []string{"wake: never_alone"}},
		"two kinds":                  {call, []*event.Evidence{edge(wake, request, nil), edge(connected, request, nil)}, []string{"wake: never_alone", "connected: never_alone"}},
		"a rule":                     {later, []*event.Evidence{edge(channelBack, request, nil)}, []string{"channel_back: later_in_call"}},
		"a rule of the request":      {elsewhere, []*event.Evidence{edge(goCreated, request, nil)}, []string{"goroutine_created: response_read_elsewhere"}},
		"a request without bytes":    {call, []*event.Evidence{edge(channelBack, 999, nil)}, []string{"channel_back: request_unknown"}},
		"the request began later":    {call, []*event.Evidence{edge(channelBack, 400, nil)}, []string{"channel_back: before_request"}},
		"several responses":          {call, []*event.Evidence{edge(answer, request, loopAnswer)}, []string{"answer: several_responses"}},
		"a guess":                    {call, []*event.Evidence{edge(goParent, request, nil)}, []string{"goroutine_parent: not_proven"}},
		"two requests":               {call, []*event.Evidence{edge(channelBack, request, nil), edge(inContext, other, nil)}, []string{"channel_back: contradicted", "context: contradicted"}},
		"a chain":                    {call, []*event.Evidence{edge(next, 7, nil)}, []string{"next: end_unknown"}},
		"a chain without beginning":  {call, []*event.Evidence{edge(next, 7, nil), edge(answer, request, loopAnswer)}, []string{"next: beginning_unknown", "answer: several_responses"}},
		"a chain with both ends":     {call, []*event.Evidence{edge(next, 7, nil), edge(loop, request, nil), edge(answer, request, loopAnswer)}, []string{"next: not_proven", "event_loop: never_alone", "answer: several_responses"}},
		"a chain between two others": {call, []*event.Evidence{edge(next, 7, nil), edge(loop, other, nil), edge(answer, request, loopAnswer)}, []string{"next: ends_disagree", "event_loop: never_alone", "answer: several_responses"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, explain := range []bool{true, false} {
				s, counts := newSolver()
				s.options.Explain = explain
				for _, r := range []uint64{request, other} {
					s.Began(r, r, 10*ms, reader)
				}
				s.Began(400, 400, 25*ms, reader)
				for _, e := range tc.evidence {
					s.Evidence(e)
				}
				got := decide(s, tc.call)
				require.ElementsMatch(t, told(tc.want), counted(counts), "counted, explained or not")
				if !explain {
					require.Empty(t, got.Refused)
					continue
				}
				require.Equal(t, tc.want, got.Refused)
				require.Equal(t, tc.want != nil, got.Outcome.Unlinked())
			}
		})
	}
}

// What was noted of edges when a call was judged is what is found when each is asked again, whatever the evidence.
func TestRefusalsAreThoseOfTheEdges(t *testing.T) {
	reasons := map[string]int{}
	each(t, func(t *testing.T, w *world, _ uint64) {
		var calls, requests []uint64
		for id := range w.calls {
			calls = append(calls, id)
		}
		for id := range w.requests {
			requests = append(requests, id)
		}
		slices.Sort(calls)
		slices.Sort(requests)
		for range 3 * len(calls) {
			c := w.calls[calls[w.rng.IntN(len(calls))]]
			e := event.Evidence{
				What: uint8(1 + w.rng.IntN(responseOrder)), Call: c.ID, Epoch: requests[w.rng.IntN(len(requests))],
				Segment: w.rng.Uint64N(2), Uses: uint8(w.rng.IntN(3)), BaseUses: uint8(w.rng.IntN(3)),
			}
			if e.What == next {
				e.Epoch = calls[w.rng.IntN(len(calls))]
			}
			if w.rng.IntN(2) == 0 {
				e.Epoch = c.request
			}
			w.say(c.Start, c.Writer, true, e)
		}
		for range 3 {
			at := w.between(100*ms, 200*ms)
			w.at(at, Writer{}, func(s *Solver, _ *results) { s.Lost(at, at+1) })
		}
		want := &Counts{}
		w.check = func(s *Solver, c Call, a Answer) {
			var refused []refused
			if a.Outcome.Unlinked() {
				refused = askedAgain(s, c)
				require.Equal(t, s.explain(&c, refused), a.Refused)
			} else {
				require.Empty(t, a.Refused)
			}
			want.service("").refused(refused)
			for _, r := range refused {
				reasons[Refusals[r.why]]++
			}
		}
		o := modelOptions()
		o.Explain = true
		_, s := w.run(o, everyTick(w.rng), nil)
		require.ElementsMatch(t, counted(want), counted(s.counts))
	})
	for _, why := range []Refusal{
		NeverAlone, NotProven, Refuted, Contradicted, InGap, BeforeRequest, AfterResponse, ContextServesSeveral, HandOverUnseen,
		TwoTasksAtOnce, ContextOutlivesRequest, ThreadLivesOn, WakeInDoubt, SeveralResponses, EndUnknown,
	} {
		require.NotZero(t, reasons[Refusals[why]], "%s: %v", Refusals[why], reasons)
	}
}

// askedAgain are the refusals of a call that was just answered, each edge asked once more.
func askedAgain(s *Solver, c Call) (out []refused) {
	h := &held{call: c, record: s.ledger.find(c.ID), process: s.processes.of(c.Writer.Tgid)}
	own := h.record.verdict
	for _, e := range s.edges(&c) {
		r := refused{kind: e.kind}
		if e.kind == next {
			if _, r.why = s.chained(h, &own); r.why == 0 {
				r.why = NotProven
			}
		} else {
			_, _, r.why = s.admit(&e, &c, 0)
			of := s.sort(&e, &c)
			if r.why == 0 || r.why == InGap && !h.process.trusts(of, s.source(h.process, &e, &c)) {
				r.why = h.process.distrust(of, s.source(h.process, &e, &c))
			}
		}
		if !slices.Contains(out, r) && len(out) < maxRefusals {
			out = append(out, r)
		}
	}
	return out
}

// told are those that name evidence.
func told(refusals []string) (out []string) {
	for _, r := range refusals {
		if strings.Contains(r, ": ") {
			out = append(out, r)
		}
	}
	return out
}

// counted are the refusals of one call.
func counted(c *Counts) (out []string) {
	for _, s := range c.Services() {
		s.EachRefused(func(kind, reason string, calls uint64) {
			for range calls {
				out = append(out, kind+": "+reason)
			}
		})
	}
	return out
}

// Every reason has a name, and no two have the same.
func TestRefusalsAreNamed(t *testing.T) {
	names := map[string]bool{}
	for _, name := range Refusals[1:] {
		require.NotEmpty(t, name)
		require.False(t, names[name], name)
		names[name] = true
	}
	require.Len(t, Refusals, int(BegunForNobody)+1)
	for i := range kinds {
		for _, of := range kinds[i].rules {
			require.NotZero(t, of.refusal, kinds[i].hint)
		}
		for _, of := range kinds[i].service {
			require.NotZero(t, of.refusal, kinds[i].hint)
		}
	}
}

// However much there is to say, it is bounded.
func TestRefusalsAreBounded(t *testing.T) {
	s, _ := newSolver()
	s.options.Explain = true
	for kind := range uint8(kindCount) {
		if kinds[kind].hint != "" && kind != asyncID {
			s.Evidence(evidence(kind, 1, 999))
		}
	}
	require.Len(t, decide(s, Call{ID: 1, Start: 20 * ms, End: 30 * ms}).Refused, maxRefusals)
}

// Of a call of Node.js it is also said what its ids lack.
func TestRefusalsOfAsyncCalls(t *testing.T) {
	const request = requestA
	closing := answered(1, request, 1)
	closing.Uses = 0 // another call was sent as well when its response had arrived
	for name, tc := range map[string]struct {
		records []any
		want    string
	}{
		"nothing is known of what made it": {[]any{made(0, 3, 0, 1, ids{begin: 30, counter: 31, exec: 2, trigger: 1})}, "async_id: cause_unknown"},
		"its chain has no end": {[]any{
			made(event.AsyncRead, 3, request, 2, ids{begin: 30, counter: 35, base: 3, exec: 3}),
			made(callOf, 4, 2, 1, ids{begin: 35, counter: 36, base: 5}),
		}, "async_id: chain_open"},
		"its chain is closed, and the first": {[]any{
			made(event.AsyncRead, 3, request, 2, ids{begin: 30, counter: 35, base: 3, exec: 3}),
			made(callOf, 4, 2, 1, ids{begin: 35, counter: 36, base: 5}), closing,
		}, "async_id: not_proven"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			s.options.Explain = true
			s.Began(request, request, 10*ms, reader)
			feed(s, tc.records)
			require.Contains(t, decide(s, Call{ID: 1, Start: 20 * ms, End: 30 * ms}).Refused, tc.want)
		})
	}
}
