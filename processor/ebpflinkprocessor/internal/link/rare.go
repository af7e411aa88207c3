package link

import (
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Rare is what few spans have and linking uses. An Index keeps it beside the facts, so that the
// others do not pay for it. Zero values mean unknown.
type Rare struct {
	// Process is a hash of the process on its host. It counts only together with something else here.
	Process uint64
	// RequestID and ResponseID are hashes of the x-request-id header of request and response.
	RequestID, ResponseID uint64
	// ReqChain and RespChain are the ids that another producer's thread had before and after.
	ReqChain, RespChain uint64
	// Tap is where another producer captured the span.
	Tap uint8
	// Foreign: another producer made the span, and its words have other meanings.
	Foreign bool
	// Exchange is kept apart from the rest.
	Exchange Exchange
}

// Empty: there is nothing to keep.
func (r *Rare) Empty() bool {
	return r.RequestID|r.ResponseID|r.ReqChain|r.RespChain == 0 && r.Tap == 0 && !r.Foreign
}

// Rare returns what is beside id.
func (x *Index) Rare(id ID) Rare {
	v := x.View(id)
	r := *v.Rare
	r.Exchange = x.exchange(v)
	return r
}

// shortestRequestID is what a proxy's id has at least: a shorter value is a user's counter or
// constant, which names no request.
const shortestRequestID = 8

// RequestIDKey hashes an x-request-id, 0 for one that names no request.
func RequestIDKey(id string) uint64 {
	if len(id) < shortestRequestID || strings.Trim(id, "0-") == "" {
		return 0
	}
	return max(1, xxhash.Sum64String(id))
}

// ProcessKey hashes what identifies a process on its host; nothing gives 0, unknown.
func ProcessKey(pid int64) uint64 {
	if pid <= 0 {
		return 0
	}
	return uint64(pid)
}
