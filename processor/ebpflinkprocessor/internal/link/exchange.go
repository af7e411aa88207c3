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
	// Container and Pod are hashes of container.id and k8s.pod.uid: where the process runs, perhaps with others.
	Container, Pod uint64
	// Method is a hash of the HTTP method, System one of the database or RPC system.
	Method, System uint8
	// Path is a hash of the path of the URL, Status one of the status code.
	Path, Status uint8
}

// Known: it says whose exchange it was, or where.
func (e *Exchange) Known() bool {
	return e.PID != 0 || e.Instance != 0 || e.Container != 0 || e.Pod != 0
}

// spoken is an Exchange as an Index keeps it.
type spoken struct {
	// owner is whose it is, 0 where that is not known.
	owner uint32
	words
}

// words are those of an Exchange.
type words struct{ Method, System, Path, Status uint8 }

// exchange is what v says.
func (x *Index) exchange(v View) Exchange {
	w, of := v.said, x.of(v)
	return Exchange{
		PID: of.PID, Instance: of.Instance, Container: of.Container, Pod: of.Pod,
		Method: w.Method, System: w.System, Path: w.Path, Status: w.Status,
	}
}

// InstanceKey hashes a service.instance.id; an empty one gives 0, unknown.
func InstanceKey(id string) uint32 {
	if id == "" {
		return 0
	}
	return max(1, uint32(xxhash.Sum64String(id)))
}

// PlaceKey hashes a container.id or k8s.pod.uid; an empty one gives 0, unknown.
func PlaceKey(id string) uint64 { return HostKey(id) }

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

// silent is what a span says that says nothing.
var silent spoken

// spoken is what id says of its exchange.
func (x *Index) spoken(id ID) *spoken {
	if int(id) >= x.exchanges.Len() {
		return &silent
	}
	return x.exchanges.At(id)
}

// of is whose v is.
func (x *Index) of(v View) *owner {
	if v.said.owner == 0 {
		return &nobodys
	}
	return x.owners.all.Of(v.said.owner)
}

// say keeps what id says, whose fact is here.
func (x *Index) say(id ID, e *Exchange) {
	if *e != none {
		x.exchanges.Grow(int(id) + 1)
	}
	if int(id) >= x.exchanges.Len() {
		return
	}
	s := x.exchanges.At(id)
	before := s.owner
	*s = spoken{words: words{e.Method, e.System, e.Path, e.Status}}
	if e.Known() {
		c := x.core(id)
		s.owner = x.owners.enter(&who{
			Host: c.Host, Container: e.Container, Pod: e.Pod, Service: c.Service, PID: e.PID, Instance: e.Instance, Raw: c.Raw,
		})
	}
	x.owners.leave(before)
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
		if *x.exchanges.At(id) != silent {
			x.Say(id, none)
		}
	}
}

// agree counts what both say alike, and is -1 where they contradict each other.
func (w words) agree(o words) int {
	same := 0
	for _, both := range [...][2]uint8{{w.Method, o.Method}, {w.System, o.System}, {w.Path, o.Path}, {w.Status, o.Status}} {
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
