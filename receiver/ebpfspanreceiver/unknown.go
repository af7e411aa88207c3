//go:build linux

package ebpfspanreceiver

import (
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/exchange"
)

// maxUnknown bounds the exchanges that wait for their process to be looked at.
const maxUnknown = 4096

// unknown keeps exchanges of processes that nobody has looked at yet: the child of a selected process is
// traced from its first moment, and may have served requests before its description is read.
type unknown struct {
	waiting []unknownExchange // in order of their arrival
}

type unknownExchange struct {
	exchange *exchange.Exchange
	from     origin
	until    time.Time
}

// hold takes an exchange of an unknown process, unless too many wait.
func (u *unknown) hold(x *exchange.Exchange, from origin, now time.Time) bool {
	if len(u.waiting) >= maxUnknown {
		return false
	}
	u.waiting = append(u.waiting, unknownExchange{x, from, now.Add(inheritFor)})
	return true
}

// release gives to emit what can be described by now, and counts what it is too late for. due says which
// processes nobody has looked at yet, but will: a busy machine may need longer than inheritFor for that.
func (u *unknown) release(now time.Time, known, due func(tgid uint32) bool, emit func(*exchange.Exchange, origin)) (dropped int) {
	kept := u.waiting[:0]
	for _, w := range u.waiting {
		switch {
		case known(w.exchange.Tgid):
			emit(w.exchange, w.from)
		case now.After(w.until) && !due(w.exchange.Tgid):
			dropped++
		default:
			kept = append(kept, w)
		}
	}
	clear(u.waiting[len(kept):])
	u.waiting = kept
	return dropped
}
