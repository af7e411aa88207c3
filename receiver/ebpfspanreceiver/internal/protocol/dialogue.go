package protocol

// dialogue is the two directions of a connection whose responses come in order, and the requests
// that await theirs. It keeps the promise of [Sink.Skip]: what is abandoned in one direction takes
// along what belongs to it in the other.
type dialogue struct {
	order       order
	ask, answer *flow
	// current is the number of the request under way in the request direction, while ask.begun.
	current uint64
}

// dropRequest abandons the request under way. Somebody may still answer it, so pairing stops.
func (d *dialogue) dropRequest(why Reason) {
	begun := d.ask.begun
	d.ask.abandon(why)
	if !begun {
		return
	}
	d.order.lost = true
	if d.order.at(d.current) == nil {
		return // answered already
	}
	if d.current == d.order.first && d.answer.begun {
		// The response has begun: it stays followed, and is not reported.
		d.answer.abandon(NotCaptured)
		d.answer.muted, d.answer.why = true, NotCaptured
	}
	d.order.cancel(d.current)
}

// dropResponse abandons the response under way with its request, and those after it: its end is
// not known, so neither is the beginning of the next.
func (d *dialogue) dropResponse(why Reason) {
	begun := d.answer.begun
	d.answer.abandon(why)
	if begun {
		d.order.pop()
		d.loseResponses()
	}
}

// loseResponses gives up the responses to all requests that are waiting: nobody knows which of them
// were in bytes that are gone.
func (d *dialogue) loseResponses() {
	for d.order.waiting() > 0 {
		if d.current == d.order.first && d.ask.begun {
			d.ask.abandon(NotCaptured)
			d.ask.muted, d.ask.why = true, NotCaptured
		} else {
			d.answer.begin()
			d.answer.abandon(NotCaptured)
		}
		d.order.pop()
		d.order.lost = true
	}
}
