package causality

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"

// tasks are the hand-overs that went back to a request, by segment.
type tasks struct{ generations[uint64, uint64] }

// toSeveral: a task that went back to two requests was none's alone.
const toSeveral = ^uint64(0)

func (t *tasks) cameBack(segment, epoch uint64) {
	if back, known := t.get(segment); known && back != epoch {
		epoch = toSeveral
	}
	t.put(segment, epoch)
}

// wentTo: the task of that hand-over ended by going back to the request.
func (t *tasks) wentTo(segment, epoch uint64) bool {
	back, _ := t.get(segment)
	return segment != 0 && back == epoch
}

// writer remembers which requests a context has written calls for, as far as stronger evidence said.
type writer struct {
	request uint64
	shared  bool
	// When its first and its last finished call began.
	first, last uint64
}

// writers by context.
type writers struct{ generations[Writer, writer] }

func (m *writers) of(w Writer) writer {
	known, _ := m.get(w.key())
	return known
}

// wrote: a call of that context began at start.
func (m *writers) wrote(w Writer, start uint64) {
	known := m.of(w)
	if known.first == 0 || start < known.first {
		known.first = start
	}
	known.last = max(known.last, start)
	m.put(w.key(), known)
}

// worked: a call of that context was made for request.
func (m *writers) worked(w Writer, request uint64) {
	known := m.of(w)
	if known.request != 0 && known.request != request {
		known.shared = true
	}
	known.request = request
	m.put(w.key(), known)
}

// life is that of a thread, from its making by one that served a request to its end.
type life struct {
	tgid, tid uint32
	epoch     uint64
}

// lives that are over.
type lives struct{ generations[life, struct{}] }

// maxLives bounds a generation: what is asked for is younger than the longest hold.
const maxLives = 1 << 15

func (l *lives) ended(which life) {
	if len(l.now) >= maxLives {
		l.turn()
	}
	l.put(which, struct{}{})
}

func (l *lives) isOver(which life) bool { return l.has(which) }

// threads say of each process how its threads share the requests, by tgid.
type threads map[uint32]*sharing

// sharing is how the threads of a process share requests. handed and migrated are when that was last seen.
type sharing struct {
	handed   uint64 // one thread read a request and another answered it
	migrated uint64 // and both of them read and answer
	does     map[uint32]uint8
}

const (
	reads = 1 << iota
	answersToo
	// maxSharing bounds the threads of a process that are told apart: more workers than a scheduler has.
	maxSharing = 1024
)

func (t threads) served(r *served) {
	thread := r.reader.Context == 0 && r.reader.Kind == event.Thread
	virtual := r.reader.Context != 0 && r.reader.Kind == event.Virtual
	if !thread && !virtual || r.answerer.Tid == 0 {
		return
	}
	p := t[r.reader.Tgid]
	if p == nil {
		p = &sharing{does: map[uint32]uint8{}}
		t[r.reader.Tgid] = p
	}
	if thread && r.answerer.Context == 0 {
		p.workers(r)
	}
	if !r.answerer.is(r.reader) {
		p.handed = r.end
	}
}

// workers: threads that read requests for each other are those of a scheduler, which run whichever task is ready.
// Others read what a pool answers, or answer what they have read.
func (p *sharing) workers(r *served) {
	if len(p.does) >= maxSharing {
		clear(p.does)
	}
	p.does[r.reader.Tid] |= reads
	p.does[r.answerer.Tid] |= answersToo
	const both = reads | answersToo
	if !r.answerer.is(r.reader) && p.does[r.reader.Tid] == both && p.does[r.answerer.Tid] == both {
		p.migrated = r.end
	}
}

func (t threads) age(now uint64) {
	for tgid, p := range t {
		if now > max(p.handed, p.migrated)+uint64(keepFor) {
			delete(t, tgid)
		}
	}
}

// handOver: requests change hands between threads there.
func (t threads) handOver(tgid uint32) bool { return t[tgid] != nil && t[tgid].handed != 0 }

// migrate: its threads are workers, each of which goes on with what another has begun.
func (t threads) migrate(tgid uint32) bool { return t[tgid] != nil && t[tgid].migrated != 0 }
