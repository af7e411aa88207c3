//go:build linux

package ebpfspanreceiver

import "time"

const (
	// standstill between two ticks, which are probe.Drain apart: this process did not run, or the machine did not.
	standstill = 100 * time.Millisecond
	// maxStandstill bounds how long a machine that does not get going is waited for.
	maxStandstill = time.Second
)

// progress is how far the records are known. In kernel nanoseconds.
type progress struct {
	// read: every record from before is here. The ring buffer is first in, first out, and a record is made
	// at the time that it tells, or later.
	read uint64
	// time is what those go by who wait for something that may still come.
	time uint64
	// ticked is when tick was called last, checked when the losses were looked at, lost and missed how many there were:
	// of records, and of what the kernel side has not seen itself.
	ticked, checked, lost, missed uint64
	// resumed is when the last standstill ended, and first when the first did of those that are too near to each
	// other for anybody to get on; 0: none.
	resumed, first uint64
}

// advance moves time on. It is that of the records, not of the clock: what is waited for may be in the ring buffer,
// or a traced program may not have come to it, as it stood still when this process did. It is given the grace to
// do so.
func (p *progress) advance(now uint64, drained bool) uint64 {
	if p.ticked != 0 && now > p.ticked+uint64(standstill) {
		if p.resumed == 0 {
			p.first = now
		}
		p.resumed = now
	}
	if drained {
		p.read = max(p.read, p.ticked)
	}
	p.ticked = now
	if p.resumed != 0 && now < p.resumed+uint64(grace) && now < p.first+uint64(maxStandstill) {
		return p.time
	}
	p.resumed = 0
	p.time = max(p.time, p.read)
	return p.time
}
