package causality

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An operation is believed to be for requests until it has led to nothing more often than by chance, whatever others do.
func TestUnaided(t *testing.T) {
	var u unaided
	require.True(t, u.answered(1))
	u.saw(1, true)
	u.saw(1, false)
	require.False(t, u.answered(1))
	require.True(t, u.answered(2))
	for range 98 {
		u.saw(1, true)
	}
	require.True(t, u.answered(1))
	u.saw(1, false)
	require.True(t, u.answered(1))
	u.saw(1, false)
	require.False(t, u.answered(1))
	for i := range uint64(2 * maxSignatures) {
		u.saw(i, true)
	}
	require.Len(t, u.operations, maxSignatures)
	require.False(t, u.answered(maxSignatures+1))
}

// A timer of the program's own fetches something, for which requests wait that happen to come meanwhile. Another one makes
// the calls of requests. Neither's calls are known to be of any request.
func TestUnaidedCalls(t *testing.T) {
	const requests, each, ours, theirs = 50, 7, 1, 2
	s, _ := newSolver()
	s.options.MaxHeld, s.options.Hold, s.options.Explain = 1<<20, 5*time.Second, true
	at, call, id := 1000*ms, uint64(1000), 10.0
	var own, nobodys []Answer
	var refused []string
	// A timer, whose id is older than all that is known of the loop, calls, and that is answered.
	serve := func(operation uint64, waits bool, to *[]Answer) {
		at += 250 * ms
		s.Tick(at)
		call++
		turn := call
		s.Began(turn, turn, at, reader)
		call++
		made := made(0, at, 0, call, ids{begin: id, counter: id + 2, exec: 1, trigger: 1})
		made.Ts, id = at+ms, id+4
		s.Async(made)
		if waits {
			e := answered(call, turn, 1)
			e.Ts = at + 3*ms
			s.Evidence(e)
		}
		s.Hold(Call{ID: call, Writer: reader, Start: at + ms, End: at + 2*ms, Operation: operation}, func(a Answer) {
			*to = append(*to, a)
			refused = append(refused, a.Refused...)
		})
		s.Ended(turn, turn, at+4*ms, reader)
	}
	for n := range requests * each {
		if n%each == 0 {
			serve(ours, true, &own)
		}
		serve(theirs, n%each == 3, &nobodys) // another request waits, or none
	}
	s.Tick(at + uint64(10*time.Second))
	s.Flush()
	require.Equal(t, requests, linked(own))
	require.Len(t, nobodys, requests*each)
	require.Zero(t, linked(nobodys))
	require.Contains(t, refused, "answer: begun_for_nobody")
}
