package causality

import (
	"slices"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// tails finds calls that came to nothing: of those that other calls led to, by the request that they would belong
// to, which are in no closed chain when it has been answered by what another call has led to. Where the answer is not
// known to come of that, or the request went on when the response was there (by an id that some other call has
// drawn), nothing says that a call came to nothing.
type tails struct {
	turns generations[uint64, turnTails]
	ended []endedTurn
}

// turnTails are what calls have led to in a request. led: to its answer, too.
type turnTails struct {
	calls []*asyncCall
	led   bool
}

// maxTails bounds the calls of one request that are looked at.
const maxTails = 64

func (t *tails) add(turn uint64, c *asyncCall) {
	if of, _ := t.turns.get(turn); len(of.calls) < maxTails {
		of.calls = append(slices.Clip(of.calls), c)
		t.turns.put(turn, of)
	}
}

// answered: a call that others led to has led to the answer of a request.
func (t *tails) answered(turn uint64) {
	of, _ := t.turns.get(turn)
	of.led = true
	t.turns.put(turn, of)
}

// over: a request was answered.
func (t *tails) over(turn, end uint64) {
	if of, _ := t.turns.get(turn); len(of.calls) > 0 {
		t.ended = append(t.ended, endedTurn{turn, end})
	}
}

// take returns the calls of the requests that were answered before. What began later is left.
func (t *tails) take(before uint64) (calls []*asyncCall) {
	n := 0
	for ; n < len(t.ended) && t.ended[n].at < before; n++ {
		over := t.ended[n]
		of, _ := t.turns.get(over.turn)
		later := of.calls[:0:0]
		for _, c := range of.calls {
			switch {
			case c.at > over.at:
				later = append(later, c)
			case of.led:
				calls = append(calls, c)
			}
		}
		t.turns.put(over.turn, turnTails{calls: later})
	}
	t.ended = t.ended[n:]
	return calls
}

// wentOn: a request makes a call in an activation that has read the response of another.
func (a *asyncIDs) wentOn(e *event.Async, turn uint64) {
	if e.Flags&event.AsyncTokenCall == 0 {
		return
	}
	if before, ok := a.calls.get(e.Token); ok && a.root(before, nil).turn == turn {
		before.wentOn = true
	}
}

// settle looks at what has become of the calls of requests that were answered before.
func (a *asyncIDs) settle(before uint64) {
	for _, c := range a.tails.take(before) {
		c.settled = true
		a.count(c)
	}
	known := 0 // of these it is known that no record was lost
	for known < len(a.closings) && a.closings[known].at < before {
		known++
	}
	a.closings = slices.Delete(a.closings, 0, known)
}

// over: the call has ended, and it is known what it calls.
func (a *asyncIDs) over(c *Call) {
	if known, ok := a.calls.get(c.ID); ok && !known.ended {
		known.ended, known.operation = true, c.Operation
		a.count(known)
	}
}

func (a *asyncIDs) count(c *asyncCall) {
	if !c.settled || !c.ended || c.wentOn && !c.closed || a.lostSince(c.at) {
		return
	}
	n := a.chainsOf(c.loop.tgid)
	n.kept.add(c.closed)
	n.operations.add(c.operation, c.closed)
}
