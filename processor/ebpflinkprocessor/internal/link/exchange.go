package link

import (
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Exchange is what a span says of its exchange in the words that an SDK has for it, too: by it and by time
// the two spans of one call recognise each other where no header names one to the other. It is kept only in
// pipelines that SDK spans come through, beside the facts. Zero values mean unknown.
type Exchange struct {
	// PID is the process, as its host numbers it.
	PID uint32
	// Instance is a hash of service.instance.id.
	Instance uint32
	// Method is a hash of the HTTP method, System one of the database or RPC system.
	Method, System uint8
	// Path is a hash of the path of the URL, Status one of the status code.
	Path, Status uint8
}

// Known: it says whose exchange it was.
func (e *Exchange) Known() bool { return e.PID != 0 || e.Instance != 0 }

// InstanceKey hashes a service.instance.id; an empty one gives 0, unknown.
func InstanceKey(id string) uint32 {
	if id == "" {
		return 0
	}
	return max(1, uint32(xxhash.Sum64String(id)))
}

// WordKey hashes a word of which few others come in its place; an empty one gives 0, unknown. Case does not
// count: SDKs differ in it.
func WordKey(word string) uint8 {
	if word == "" {
		return 0
	}
	return uint8(1 + xxhash.Sum64String(strings.ToLower(word))%255)
}

// StatusKey hashes a status code.
func StatusKey(code int64) uint8 { return uint8(1 + uint64(code)%251) }

// none says nothing.
var none Exchange

// exchange is what id says of its exchange.
func (x *Index) exchange(id ID) *Exchange {
	if int(id) >= x.exchanges.Len() {
		return &none
	}
	return x.exchanges.At(id)
}

// say keeps what id says.
func (x *Index) say(id ID, e *Exchange) {
	if *e != none {
		x.exchanges.Grow(int(id) + 1)
	}
	if int(id) < x.exchanges.Len() {
		*x.exchanges.At(id) = *e
	}
}

// Say adds what id says of its exchange to what is known of it.
func (x *Index) Say(id ID, e Exchange) {
	x.unpost(id)
	x.say(id, &e)
	x.class(id)
	x.post(id)
	x.gen++
}

// Unsay forgets what all spans say of their exchanges.
func (x *Index) Unsay() {
	for id := range ID(x.exchanges.Len()) {
		if *x.exchange(id) != none {
			x.Say(id, none)
		}
	}
}

// agree counts what both say alike, and is -1 where they contradict each other.
func (e *Exchange) agree(o *Exchange) int {
	same := 0
	for _, both := range [...][2]uint8{{e.Method, o.Method}, {e.System, o.System}, {e.Path, o.Path}, {e.Status, o.Status}} {
		switch {
		case both[0] == 0 || both[1] == 0:
		case both[0] != both[1]:
			return -1
		default:
			same++
		}
	}
	return same
}
