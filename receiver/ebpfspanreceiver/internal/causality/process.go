package causality

// process is what was learned of one process.
type process struct {
	instance   uint64
	trials     [sortCount]trial
	signatures signatures
	delays     delays
	wakes      wakes
	answers    answers
	fans       fans
	dialed     connections
	unaided    unaided
	// When bytes moved that were not understood, and when calls began of which it is not known for certain
	// whose they are.
	unread, unlinked marks
	counts           *ServiceCounts
	seen             uint64
}

// maxProcesses bounds those that are remembered; what was learned of the others is learned again.
const maxProcesses = 8192

// processes by tgid.
type processes struct {
	known    map[uint32]*process
	identify func(tgid uint32) (instance uint64, service string)
	counts   *Counts
	// forgotten is the last time of which a process that was forgotten had a mark.
	forgotten uint64
}

func newProcesses(o *Options, c *Counts) processes {
	return processes{known: map[uint32]*process{}, identify: o.Identify, counts: c}
}

// of finds a process. A number that was given to another process starts anew.
func (m *processes) of(tgid uint32) *process {
	p := m.known[tgid]
	if p != nil {
		return p
	}
	if len(m.known) >= maxProcesses {
		for other := range m.known {
			m.forget(other)
			break
		}
	}
	var instance uint64
	service := ""
	if m.identify != nil {
		instance, service = m.identify(tgid)
	}
	p = &process{instance: instance, counts: m.counts.service(service)}
	m.known[tgid] = p
	return p
}

// check is of, and asks whether it is still the same process.
func (m *processes) check(tgid uint32, now uint64) *process {
	p := m.of(tgid)
	if m.identify != nil {
		if instance, _ := m.identify(tgid); instance != p.instance {
			delete(m.known, tgid)
			last := p
			p = m.of(tgid)
			// It may only have got its name, and a request of then be open.
			p.unread, p.unlinked = last.unread, last.unlinked
		}
	}
	p.seen = max(p.seen, now)
	return p
}

func (m *processes) forget(tgid uint32) {
	p := m.known[tgid]
	m.forgotten = max(m.forgotten, p.unread.last(), p.unlinked.last())
	delete(m.known, tgid)
}

// age forgets processes that make no calls any more.
func (m *processes) age(now uint64) {
	for tgid, p := range m.known {
		if now > p.seen+uint64(keepFor) {
			m.forget(tgid)
		}
	}
}
