package causality

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"

// readings find whose each of several calls was that a goroutine wrote for others into one connection. Neither the
// order in which it took their tasks tells (it may sort them, or answer some by itself), nor who read the responses:
// that is another one, for all of them. But who reads the responses gives each of them to whoever waits for it. So
// where as many responses ended in one read as things were given away between it and the next, the first of these goes
// with the first of those; if the reader does what most do. What it does is learned for each process, from calls of
// which it is known otherwise whose they are (see calibration.go):
//
//   - A read in which one response ended, and then one thing given away (response_back).
//   - Several of each (response_order). A reader may put them into another order, of which no call that is known
//     otherwise need be part: it has the tasks of a batch, reads all their responses, and goes through the tasks. So
//     it counts only where the reader takes one thing, a task, for each that it gives: it knows no other by then.
//
// A reader that gives away more or fewer things than there were responses is not of that sort: that teaches as much as
// a wrong one does. One reader in a process may be right and the next one wrong, so each must have proven itself, too.
type readings struct {
	generations[readingKey, *reading]
	readers generations[readerKey, *responseReader]
}

// responseReader is a goroutine that reads for others: how often what it did named the right request, and its last reading.
type responseReader struct {
	trial
	last readingKey
}

type readerKey struct {
	tgid uint32
	id   uint64
}

// readingKey: a goroutine, and the lower half of when it read.
type readingKey struct {
	tgid uint32
	read uint64 // as struct evidence_event has it, bpf/event.h
}

// reading is what ended in one read, and what its reader gave away before the next.
type reading struct {
	before readingKey // of the same reader, if there was one
	calls  uint8
	handed []handOver
}

type handOver struct {
	epoch uint64 // of who got it, 0: not known
	task  uint64 // for whom the giver of the last thing worked that the reader had taken, 0: not known
	taken uint8  // how many since the one before
}

const (
	// inARow is how many readings in a row must be in step, up to the one that is asked for: a reader that waits for
	// more responses gives what goes with them later, and as much as goes with that one if somebody did not wait.
	inARow = 8
	// maxHanded bounds what is told apart of one reading: the kernel side counts to 255.
	maxHanded = 250
	// maxReadings bounds a generation: more than are read in the longest hold.
	maxReadings = 1 << 15
	// maxReaders, likewise: those that are asked for stay.
	maxReaders = 1 << 12
)

func (m *readings) of(k readingKey) *reading {
	r, known := m.get(k)
	if !known {
		if len(m.now) >= maxReadings {
			m.generations.turn()
		}
		r = &reading{}
		m.put(k, r)
	}
	return r
}

// gave: a reader gave something away.
func (m *readings) gave(e *event.Evidence) {
	r := m.of(readingKey{tgid: e.Tgid, read: e.Segment})
	n := min(int(e.Uses), maxHanded+1)
	for len(r.handed) < n {
		r.handed = append(r.handed, handOver{})
	}
	if n == 0 {
		return
	}
	h := &r.handed[n-1]
	h.taken = e.BaseUses
	if e.Base != 0 {
		h.task = e.Base
	}
	if e.Epoch != 0 {
		h.epoch = e.Epoch
	}
}

// over: a call is, whose response a goroutine read that did not write it. Returns the number of the response among those
// that ended in the same read, 0 where there were no others under way.
func (m *readings) over(c *Call) uint8 {
	if c.Writer.Kind != event.Goroutine || c.EndContext == 0 || c.EndContext == c.Writer.Context ||
		!c.Together && !c.Overlapped {
		return 0
	}
	k := keyOf(c)
	r := m.of(k)
	if reader := m.reader(c); reader.last != k {
		r.before, reader.last = reader.last, k
	}
	if r.calls < maxHanded+1 {
		r.calls++
	}
	return r.calls
}

func keyOf(c *Call) readingKey {
	return readingKey{tgid: c.Writer.Tgid, read: c.EndContext ^ uint64(uint32(c.End))<<32}
}

// inStep: as many things were given away as responses ended.
func (r *reading) inStep() bool { return int(r.calls) == len(r.handed) && !r.crowded() }

// crowded: there were more than are told apart.
func (r *reading) crowded() bool { return r.calls > maxHanded || len(r.handed) > maxHanded }

// keptStep: it is in step, and was for a while.
func (m *readings) keptStep(r *reading) bool {
	for range inARow {
		if !r.inStep() {
			return false
		}
		if r.before == (readingKey{}) {
			return true
		}
		before, known := m.get(r.before)
		if !known {
			return false
		}
		r = before
	}
	return true
}

// itsTasks: for each of them the reader had taken one, which was of whom it went back to. Who got something and owns no
// request may be anybody.
func (r *reading) itsTasks() bool {
	for i := range r.handed {
		if h := &r.handed[i]; h.taken != 1 || h.epoch != 0 && h.epoch != h.task {
			return false
		}
	}
	return true
}

// Edges of a reading say in uses whether it is in step, and in baseUses whether the tasks are those: 1, else 2.
func orTwo(one bool) uint8 {
	if one {
		return 1
	}
	return 2
}

// edges names who got what goes with the response of a call.
func (m *readings) edges(to []edge, c *Call) []edge {
	if c.place == 0 {
		return to
	}
	r, known := m.get(keyOf(c))
	if !known || int(c.place) > len(r.handed) {
		return to
	}
	h := &r.handed[c.place-1]
	if h.epoch == 0 {
		return to
	}
	e := edge{to: h.epoch, kind: responseBack, uses: orTwo(m.keptStep(r)), baseUses: orTwo(r.itsTasks())}
	if r.calls > 1 {
		e.kind = responseOrder
	}
	return append(to, e)
}

// judged: a reader that is out of step is none of those that the guesses are about.
func (m *readings) judged(c *Call, p *process) {
	if c.place == 0 {
		return
	}
	if r, known := m.get(keyOf(c)); known && len(r.handed) > 0 && !r.crowded() && !r.inStep() {
		p.tried(responseBack<<1, false)
		p.tried(responseOrder<<1, false)
		m.reader(c).add(false)
	}
}

// reader is who read a call's response.
func (m *readings) reader(c *Call) *responseReader {
	k := readerKey{c.Writer.Tgid, c.EndContext}
	x, known := m.readers.get(k)
	if !known {
		if len(m.readers.now) >= maxReaders {
			m.readers.turn()
		}
		x = &responseReader{}
	}
	m.readers.put(k, x)
	return x
}

// byReader is the trial of who read the response.
func byReader(s *Solver, _ *process, _ *edge, c *Call) *trial { return &s.readings.reader(c).trial }

// turn begins another generation of both.
func (m *readings) turn() {
	m.generations.turn()
	m.readers.turn()
}

// answered and forget implement derivation: requests say nothing here.
func (m *readings) answered(uint64, *served) {}

func (m *readings) forget(uint64) {}

// inStep: as many things were given away as responses ended in the read.
var inStep = rule{OutOfStep, func(_ *Solver, e *edge, _ *Call) bool { return e.uses == 1 }}

// itsTasks: the reader worked for no other request than that to which it gave the response.
var itsTasks = rule{AnotherTask, func(_ *Solver, e *edge, _ *Call) bool { return e.baseUses == 1 }}
