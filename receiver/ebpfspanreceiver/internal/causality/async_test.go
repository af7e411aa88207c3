package causality

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// Requests 100 and 200, and calls, of one loop. Ids are small numbers.
const (
	requestA, requestB = 100, 200
	callOf             = event.AsyncTokenCall | event.AsyncRead
)

type ids struct{ begin, counter, base, baseTrigger, exec, trigger float64 }

func async(what, flags uint8, activation, token, call uint64, i ids) *event.Async {
	bits := math.Float64bits
	return &event.Async{
		What: what, Flags: flags, Tgid: 1, Tid: 1, Activation: activation, Token: token, Call: call,
		Begin: bits(i.begin), Counter: bits(i.counter), Base: bits(i.base), BaseTrigger: bits(i.baseTrigger),
		Exec: bits(i.exec), Trigger: bits(i.trigger),
	}
}

// over: an activation that has ended; made: a call in one; began: an operation.
func over(flags uint8, activation, token uint64, i ids) *event.Async {
	return async(event.AsyncActivation, flags, activation, token, 0, i)
}

func made(flags uint8, activation, token, call uint64, i ids) *event.Async {
	return async(event.AsyncCall, flags, activation, token, call, i)
}

func began(activation uint64, i ids) *event.Async {
	return async(event.AsyncInit, 0, activation, 0, 0, i)
}

func answered(call, epoch uint64, answers uint8) *event.Evidence {
	return &event.Evidence{What: answer, Tgid: 1, Call: call, Epoch: epoch, Uses: 1, BaseUses: answers, Segment: 99}
}

// What call 1 is found to be made for: 0 where nothing is certain.
func TestAsyncIDs(t *testing.T) {
	const read = event.AsyncRead
	// Request A was read: ids 11 to 20 were born in it; request B: 21 to 30; the connections' ids are 3 and 4.
	before := []any{
		over(read, 1, requestA, ids{begin: 10, counter: 20, base: 3, baseTrigger: 2}),
		over(read, 2, requestB, ids{begin: 20, counter: 30, base: 4, baseTrigger: 2}),
	}
	for _, tc := range []struct {
		name string
		then []any
		want uint64
	}{
		{"by what was put off", []any{
			made(0, 3, 0, 1, ids{begin: 30, counter: 35, exec: 15, trigger: 12}),
		}, requestA},
		{"by what was put off, with others", []any{
			made(0, 3, 0, 1, ids{begin: 30, counter: 35, exec: 15, trigger: 12}),
			made(0, 3, 0, 2, ids{begin: 30, counter: 36, exec: 15, trigger: 12}),
		}, 0},
		{"by what was put off, again later", []any{
			made(0, 3, 0, 1, ids{begin: 30, counter: 35, exec: 15, trigger: 12}),
			made(0, 4, 0, 2, ids{begin: 40, counter: 46, exec: 15, trigger: 12}),
		}, 0},
		{"by what was put off, with one that needs a connection first", []any{
			made(0, 3, 0, 1, ids{begin: 30, counter: 35, exec: 15, trigger: 12}),
			over(0, 3, 0, ids{begin: 30, counter: 40, base: 15}),
			made(0, 4, 0, 2, ids{begin: 40, counter: 40, base: 38, exec: 38}),
		}, 0},
		{"by the activation that read the request", []any{
			made(read, 3, requestA, 1, ids{begin: 30, counter: 35, base: 3, baseTrigger: 2, exec: 3, trigger: 2}),
		}, requestA},
		{"by a timer that it has left", []any{made(0, 3, 0, 1, ids{begin: 30, counter: 31, exec: 15})}, requestA},
		{"the trigger comes first", []any{made(0, 3, 0, 1, ids{begin: 30, counter: 31, exec: 15, trigger: 25})}, requestB},
		{"of a queue, while another's response is handled", []any{
			made(callOf, 3, 77, 1, ids{begin: 30, counter: 33, base: 5, exec: 32, trigger: 25}),
		}, requestB},
		{"by a timer of nobody, while a request is handled", []any{
			made(read, 3, requestA, 1, ids{begin: 30, counter: 31, base: 3, exec: 8}),
		}, 0},
		{"at the end of a file's operation, in a promise", []any{made(0, 3, 0, 1, ids{begin: 30, counter: 31, base: 15})}, requestA},
		{"at the end of an operation that followed another", []any{
			over(0, 3, 0, ids{begin: 30, counter: 35, base: 15}),
			made(0, 4, 0, 1, ids{begin: 35, counter: 36, base: 33}),
		}, requestA},
		{"at the end of one of several files' operations, told of by a thread that was woken for another request", []any{
			made(read, 3, requestB, 77, ids{begin: 30, counter: 31, base: 4, baseTrigger: 2}),
			over(event.AsyncTokenCall, 4, 77, ids{begin: 31, counter: 35, base: 15}),
			made(event.AsyncTokenCall, 5, 77, 1, ids{begin: 35, counter: 36, base: 33}),
		}, requestA},
		{"when a port, opened for a request, has a message for another", []any{
			over(0, 3, 0, ids{begin: 30, counter: 30, base: 15}),
			made(0, 4, 0, 1, ids{begin: 30, counter: 31, base: 15, exec: 15}),
		}, 0},
		{"on a connection that a timer has opened", []any{
			began(3, ids{begin: 30, counter: 31, exec: 15}),              // the socket
			began(3, ids{begin: 30, counter: 33, exec: 32, trigger: 31}), // its connection
			made(0, 4, 0, 1, ids{begin: 35, counter: 35, base: 33, baseTrigger: 31, exec: 33, trigger: 31}),
		}, requestA},
		{"an id that was drawn where something else ran", []any{
			made(callOf, 3, 77, 2, ids{begin: 30, counter: 33, base: 5, exec: 32, trigger: 25}),
			over(callOf, 3, 77, ids{begin: 30, counter: 40, base: 5}),
			made(0, 4, 0, 1, ids{begin: 40, counter: 41, exec: 33}),
		}, 0},
		{"an id from before the tracer", []any{made(0, 3, 0, 1, ids{begin: 30, counter: 31, exec: 9})}, 0},
		{"what arrived is a lost record", []any{made(0, 3, 0, 1, ids{begin: 50, counter: 51, exec: 45})}, 0},
		{"by what the response of a call has put off, with others", []any{
			made(read, 3, requestA, 77, ids{begin: 30, counter: 35, base: 3, exec: 3}),
			over(callOf, 4, 77, ids{begin: 35, counter: 40, base: 5}),
			made(0, 5, 0, 1, ids{begin: 40, counter: 41, base: 38, exec: 38}),
			made(0, 5, 0, 2, ids{begin: 40, counter: 43, base: 38, exec: 38}),
		}, 0},
		{"a batch for several requests", []any{
			made(0, 3, 0, 1, ids{begin: 30, counter: 31, exec: 15}), answered(1, requestB, 2),
		}, 0},
		{"made together with such a batch", []any{
			made(0, 3, 0, 1, ids{begin: 30, counter: 31, exec: 15}),
			made(0, 3, 0, 2, ids{begin: 30, counter: 31, exec: 16}), answered(2, requestB, 2),
		}, 0},
		{"of a timer that also works for others", []any{
			made(0, 3, 0, 1, ids{begin: 30, counter: 31, exec: 15}),
			made(0, 3, 0, 2, ids{begin: 30, counter: 31, exec: 15}), answered(2, requestB, 1),
		}, 0},
		{"its answer is another's, but that is not certain", []any{
			made(0, 3, 0, 1, ids{begin: 30, counter: 31, exec: 15}),
			&event.Evidence{What: answer, Tgid: 1, Call: 1, Epoch: requestB, BaseUses: 1, Segment: 99},
		}, 0},
		{"its answer is another's", []any{ // neither is believed, see TestI13TwoSided
			made(0, 3, 0, 1, ids{begin: 30, counter: 31, exec: 15}), answered(1, requestB, 1),
		}, requestA},
		{"after a call, in a process of which nothing is known yet", []any{
			made(read, 3, requestA, 2, ids{begin: 30, counter: 35, base: 3, exec: 3}),
			made(callOf, 4, 2, 1, ids{begin: 35, counter: 36, base: 5}), answered(1, requestA, 1),
		}, 0},
		{"another loop has taken the place of the first", []any{
			over(read, 3, requestB, ids{begin: 5, counter: 8}),
			made(0, 4, 0, 1, ids{begin: 30, counter: 31, exec: 15}),
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := newSolver()
			feed(s, before)
			feed(s, tc.then)
			require.Equal(t, tc.want, asyncRequest(s, 1))
		})
	}
}

// A call that follows another is only believed to go on with the same request where such chains close.
func TestAsyncChains(t *testing.T) {
	for _, tc := range []struct {
		name  string
		wrong int // of 100 chains
		want  uint64
	}{
		{"they do", 0, requestA}, {"one does not", 1, requestA}, {"some do not", 5, 0}, {"a queue", 90, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := newSolver()
			at := 10.0
			for i := range uint64(100) {
				to := uint64(requestA)
				if int(i) < tc.wrong {
					to = requestB
				}
				asyncChain(s, &at, 1000+10*i, to)
			}
			asyncChain(s, &at, 1, requestA)
			keep(s, 1, 0)
			require.Equal(t, tc.want, asyncRequest(s, 2))
			require.Equal(t, uint64(requestA), asyncRequest(s, 1), "its first call is certain")
		})
	}
}

// Whether a call that follows a response goes on with its request is shown by those, too, that wait for a
// connection meanwhile: what they have drawn an id for. And the other way round.
func TestAsyncChainsThatWaited(t *testing.T) {
	type chains struct{ right, wrong int }
	for _, tc := range []struct {
		name           string
		waited, next   chains
		next2, waited2 uint64 // the second call of a chain that is right, and of one whose end is not seen
	}{
		{"nothing is known", chains{}, chains{}, 0, requestA},
		{"too few waited", chains{right: 18}, chains{}, 0, requestA},
		{"enough waited", chains{right: 19}, chains{}, requestA, requestA},
		{"both", chains{right: 10}, chains{right: 9}, requestA, requestA},
		{"one of those that waited was not right", chains{right: 20, wrong: 1}, chains{}, 0, 0},
		{"one of those that did not was not right", chains{right: 100}, chains{right: 4, wrong: 1}, 0, requestA},
		{"a queue", chains{right: 10, wrong: 10}, chains{right: 10, wrong: 10}, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := newSolver()
			at, first := 10.0, uint64(1000)
			run := func(n int, chain func(*Solver, *float64, uint64, uint64), to uint64) {
				for range n {
					first += 10
					chain(s, &at, first, to)
				}
			}
			run(tc.waited.right, asyncWait, requestA)
			run(tc.waited.wrong, asyncWait, requestB)
			run(tc.next.right, asyncChain, requestA)
			run(tc.next.wrong, asyncChain, requestB)
			keep(s, 1, 0)
			run(1, asyncWait, 0)
			require.Equal(t, tc.waited2, asyncRequest(s, first+1))
			run(1, asyncChain, requestA)
			require.Equal(t, tc.next2, asyncRequest(s, first+1))
		})
	}
}

// asyncWait is asyncChain where the second call waits for a connection, and is sent when the response of
// another has arrived. to 0: what its response led to is not seen.
func asyncWait(s *Solver, at *float64, first, to uint64) {
	i, then := ids{begin: *at, counter: *at + 1}, ids{begin: *at + 1, counter: *at + 3, base: 5}
	feed(s, []any{
		made(event.AsyncRead, 10*first, requestA, first, i), over(event.AsyncRead, 10*first, requestA, i),
		over(callOf, 10*first+1, first, then),
		made(callOf, 10*first+2, 77, first+1, ids{begin: *at + 3, counter: *at + 5, base: 6, exec: *at + 4, trigger: *at + 2}),
	})
	if to != 0 {
		feed(s, []any{answered(first+1, to, 1)})
	}
	*at += 10
}

// keep: so many calls that others led to were in closed chains, and so many in none.
func keep(s *Solver, closed, open int) {
	n := s.async.chainsOf(1)
	n.operations[0] = score{minChains * closed, minChains * (closed + open)}
}

// asyncChain is request A, call first, and then first+1, whose response leads to the answer of a request.
func asyncChain(s *Solver, at *float64, first, to uint64) {
	i := ids{begin: *at, counter: *at + 1}
	feed(s, []any{
		made(event.AsyncRead, 10*first, requestA, first, i), over(event.AsyncRead, 10*first, requestA, i),
		made(callOf, 10*first+1, first, first+1, ids{begin: *at + 1, counter: *at + 2}), answered(first+1, to, 1),
	})
	*at += 10
}

func feed(s *Solver, records []any) {
	for _, r := range records {
		switch r := r.(type) {
		case *event.Async:
			s.Async(r)
		case *event.Evidence:
			s.Evidence(r)
		}
	}
}

// asyncRequest is the request that a call's ids name.
func asyncRequest(s *Solver, call uint64) uint64 {
	var to []edge
	if s.ledger.find(call) != nil {
		to = s.ledger.find(call).edges
	}
	for _, e := range s.async.edges(to, &Call{ID: call}) {
		if e.kind == asyncID {
			return e.to
		}
	}
	return 0
}
