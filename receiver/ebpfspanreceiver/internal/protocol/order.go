package protocol

// order pairs responses with requests on a connection whose responses come in the order of the
// requests. It is exact as long as every byte of the framing was captured; after a loss it refuses
// to guess.
//
// After a loss nobody can say how many requests or responses were in it. Requests that were
// outstanding before a loss of request bytes still get their response, because those come first.
// From the loss on nothing is paired until it is certain again which request is next:
//
//   - at a turn: a request begins, some response bytes came since the last request bytes, nothing
//     known is outstanding, and this connection never had a request sent between the responses to
//     earlier ones (a client that waits for all its answers before it asks again); or
//   - after a quiet moment (Idle) with nothing known outstanding.
//
// What remains possible: a client that pipelines that way for the first time just after a loss.
type order struct {
	ring []pending
	// first and next number the requests: those from first up to next await a response.
	first, next uint64
	// lost: an unknown number of requests or responses came after those in the ring.
	lost bool
	// overflow: the loss is of our own making, because too many requests were waiting.
	overflow bool
	// multiplexed: a request began between the responses to earlier requests.
	multiplexed bool
	// turned: response bytes have been fed since the last request bytes.
	turned bool
}

// maxOutstanding bounds the requests that await a response on one connection.
const maxOutstanding = 1024

// pending is a request that awaits its response.
type pending struct {
	// kind is the session's own: what it must know of the request to understand the response.
	kind uint8
	// count is the session's own too.
	count uint32
}

func (o *order) waiting() int { return int(o.next - o.first) }

// admit asks whether a request that begins now can be paired. When it can, it has been added and
// at(o.next-1) is its entry; otherwise the reason says why not.
func (o *order) admit() (ok bool, why Reason) {
	n := o.waiting()
	if n > 0 && o.turned {
		o.multiplexed = true
	}
	if o.lost && n == 0 && o.turned && !o.multiplexed {
		o.lost, o.overflow = false, false
	}
	if n >= maxOutstanding {
		o.lost, o.overflow = true, true
	}
	switch {
	case o.overflow:
		return false, Overflow
	case o.lost:
		return false, NotCaptured
	}
	if n == len(o.ring) {
		o.grow()
	}
	o.ring[o.next%uint64(len(o.ring))] = pending{}
	o.next++
	return true, 0
}

func (o *order) grow() {
	bigger := make([]pending, max(4, 2*len(o.ring)))
	for i := o.first; i < o.next; i++ {
		bigger[i%uint64(len(bigger))] = o.ring[i%uint64(len(o.ring))]
	}
	o.ring = bigger
}

// at is the entry of request number i, nil when it awaits nothing any more.
func (o *order) at(i uint64) *pending {
	if i < o.first || i >= o.next {
		return nil
	}
	return &o.ring[i%uint64(len(o.ring))]
}

// pop removes the oldest request: it has been answered.
func (o *order) pop() {
	if o.first < o.next {
		o.first++
	}
}

// cancel removes the newest request, if it is number i: nobody owes it a response.
func (o *order) cancel(i uint64) {
	if i+1 == o.next && i >= o.first {
		o.next--
	}
}

// idle says that nothing has moved for a while, so that nothing is on its way.
func (o *order) idle() {
	if o.waiting() == 0 {
		o.lost, o.overflow = false, false
	}
}
