package causality

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// queueLoop is a loop whose requests make three calls in turn, one request at a time, and whose calls wait in a
// queue that keeps nothing of who left them.
type queueLoop struct {
	*Solver
	shape        queueShape
	rng          *rand.Rand
	at, call     uint64
	id           float64
	names        uint64
	slow         []func()
	own, nobodys []Answer
}

// queueShape is what requests do.
type queueShape struct {
	// between is the share of them where a call of nobody's is sent when the first response has arrived, and lets of
	// these the share where its response lets the second call go. Else it comes to nothing.
	between, lets float64
	waits         bool // calls wait for a connection
	many          bool // no two calls call the same
	slow          bool // a call that comes to nothing takes longer than is waited for
	afterwards    bool // the answer is followed by one more call, of the second one's operation
}

// Operations of the calls.
const ownOperation, nobodysOperation = 1, 10

// follow: a call is sent when the response of another has arrived (of none: when the request was read). end tells
// that it is over.
func (l *queueLoop) follow(turn, before, operation uint64, to *[]Answer) (call uint64, end func()) {
	l.call++
	l.at += 2 * ms
	call = l.call
	i := ids{begin: l.id, counter: l.id + 2, base: 5}
	l.id += 4
	var records []*event.Async
	switch {
	case before == 0:
		records = []*event.Async{made(event.AsyncRead, l.at, turn, call, i), over(event.AsyncRead, l.at, turn, i)}
	case l.shape.waits:
		then := ids{begin: i.counter, counter: i.counter + 2, base: 6, exec: i.counter + 1, trigger: i.begin + 1}
		records = []*event.Async{over(callOf, l.at, before, i), made(callOf, l.at+1, 7, call, then)}
	default:
		records = []*event.Async{made(callOf, l.at, before, call, i), over(callOf, l.at, before, i)}
	}
	for _, e := range records {
		e.Ts = l.at
		l.Async(e)
	}
	if l.shape.many {
		l.names++
		operation = 100 + l.names
	}
	c := Call{ID: call, Writer: reader, Start: l.at, End: l.at + ms, Operation: operation}
	return call, func() { l.Hold(c, func(a Answer) { *to = append(*to, a) }) }
}

func (l *queueLoop) serve() {
	l.at += 205 * ms
	l.Tick(l.at)
	for _, end := range l.slow {
		end()
	}
	l.slow = nil
	l.call++
	turn, last := l.call, uint64(0)
	l.Began(turn, turn, l.at, reader)
	second := last
	for i := range uint64(3) {
		if i == 1 && l.rng.Float64() < l.shape.between {
			nobodys, end := l.follow(turn, last, nobodysOperation, &l.nobodys)
			switch {
			case l.rng.Float64() < l.shape.lets:
				last = nobodys
				end()
			case l.shape.slow:
				l.slow = append(l.slow, end)
			default:
				end()
			}
		}
		second = last
		call, end := l.follow(turn, last, ownOperation+i, &l.own)
		end()
		last = call
	}
	l.at += ms
	e := answered(last, turn, 1)
	e.Ts = l.at
	l.Evidence(e)
	l.Ended(turn, turn, l.at, reader)
	if l.shape.afterwards {
		_, end := l.follow(turn, second, ownOperation+1, &l.nobodys)
		end()
	}
}

// A call of nobody's that waits in a queue closes a chain now and then, but not always.
func TestTails(t *testing.T) {
	for name, tc := range map[string]struct {
		requests     int
		shape        queueShape
		own, nobodys int // linked
	}{
		"no queue":                          {60, queueShape{}, 180, 0},
		"too few to know":                   {19, queueShape{}, 38, 0},
		"half the time":                     {200, queueShape{between: 0.5, lets: 0.5}, 600, 0},
		"half the time, and slow":           {200, queueShape{between: 0.5, lets: 0.5, slow: true}, 600, 0},
		"nearly always":                     {200, queueShape{between: 0.9, lets: 0.7}, 600, 0},
		"seldom, when much is known":        {1000, queueShape{between: 0.01, lets: 0.5}, 3000, 0},
		"always, as if it were the request": {200, queueShape{between: 1, lets: 1}, 600, 200},
		"none comes to nothing":             {300, queueShape{many: true}, 900 - rare, 0},
		"some come to nothing":              {300, queueShape{many: true, between: 0.1}, 600, 0},
		"afterwards":                        {200, queueShape{afterwards: true}, 600, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := newQueueLoop(tc.shape)
			for range tc.requests {
				l.serve()
			}
			l.finish()
			require.Len(t, l.own, 3*tc.requests)
			require.Equal(t, tc.nobodys, linked(l.nobodys), "of %d of nobody's", len(l.nobodys))
			require.Equal(t, tc.own, linked(l.own))
		})
	}
}

// rare calls are not linked until there are too many operations to tell them apart: half of the calls that follow
// others are second ones, of which those of the last 5 s have waited for it.
const rare = maxSignatures/2 - 24

// What waited for a connection shows as well what becomes of calls.
func TestTailsThatWaited(t *testing.T) {
	l := newQueueLoop(queueShape{waits: true})
	for range minChains {
		l.serve()
	}
	l.shape.waits = false
	l.serve()
	l.finish()
	require.Equal(t, 3*(minChains+1), linked(l.own))
}

// A call that leads to nothing counts only where that is known: its request was answered by what another has led to,
// and did nothing when its response had arrived. Call 2 follows call 1; the request's last call is 3.
func TestTailsThatAreKnown(t *testing.T) {
	const read, operation = event.AsyncRead, 7
	first := []any{
		made(read, 3, requestA, 1, ids{begin: 10, counter: 12, base: 3}), over(read, 3, requestA, ids{begin: 10, counter: 12, base: 3}),
		made(callOf, 4, 1, 2, ids{begin: 12, counter: 14, base: 5}),
	}
	besides := made(callOf, 4, 1, 3, ids{begin: 12, counter: 16, base: 5})
	overOf := func(call uint64, begin, end float64) any {
		return over(callOf, 3+call, call, ids{begin: begin, counter: end, base: 5})
	}
	several := answered(3, requestA, 2)
	for name, tc := range map[string]struct {
		then []any
		want score
	}{
		"another goes on": {[]any{besides, overOf(1, 12, 20), overOf(2, 20, 21), answered(3, requestA, 1)}, score{0, 1}},
		"it goes on itself": {[]any{
			overOf(1, 12, 20), made(callOf, 5, 2, 3, ids{begin: 20, counter: 22, base: 5}), answered(3, requestA, 1),
		}, score{1, 1}},
		"its request goes on by an id of the first, when its response is there": {[]any{
			overOf(1, 12, 20), made(callOf, 5, 2, 3, ids{begin: 20, counter: 22, base: 5, exec: 15, trigger: 13}), answered(3, requestA, 1),
		}, score{}},
		"its request goes on by an id of its own": {[]any{
			overOf(1, 12, 20), overOf(2, 20, 21), made(0, 6, 0, 3, ids{begin: 21, counter: 22, exec: 11}), answered(3, requestA, 1),
		}, score{}},
		"what led to the answer is not certain": {[]any{besides, overOf(1, 12, 20), overOf(2, 20, 21), several}, score{}},
		"no call led to it":                     {[]any{besides, overOf(1, 12, 20), overOf(2, 20, 21)}, score{}},
		"another goes on, which nobody has made for it": {[]any{
			overOf(1, 12, 20), overOf(2, 20, 21), made(0, 6, 0, 8, ids{begin: 21, counter: 22, exec: 2, trigger: 1}),
			over(0, 6, 0, ids{begin: 21, counter: 23}), made(callOf, 7, 8, 3, ids{begin: 23, counter: 25, base: 5}), answered(3, requestA, 1),
		}, score{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSolver()
			s.Began(requestA, requestA, ms, reader)
			feed(s, first)
			feed(s, tc.then)
			s.Ended(requestA, requestA, 20*ms, reader)
			s.Hold(Call{ID: 2, Writer: reader, Start: 2 * ms, End: 3 * ms, Operation: operation}, func(Answer) {})
			s.Tick(500 * ms)
			require.Equal(t, tc.want, s.async.chainsOf(1).operations[operation])
		})
	}
}

func newQueueLoop(shape queueShape) *queueLoop {
	s, _ := newSolver()
	s.options.MaxHeld, s.options.Hold = 1<<20, 5*time.Second
	return &queueLoop{Solver: s, shape: shape, rng: rand.New(rand.NewPCG(1, 2)), at: 1000 * ms, call: 1000, id: 10}
}

func (l *queueLoop) finish() {
	for _, end := range l.slow {
		end()
	}
	l.Tick(l.at + uint64(10*time.Second))
	l.Flush()
}

func linked(answers []Answer) (n int) {
	for _, a := range answers {
		if a.Outcome == Linked {
			n++
		}
	}
	return n
}
