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
	counts     *ServiceCounts
	seen       uint64
}

// maxProcesses bounds those that are remembered; what was learned of the others is learned again.
const maxProcesses = 8192

// processes by tgid.
type processes struct {
	known    map[uint32]*process
	identify func(tgid uint32) (instance uint64, service string)
	counts   *Counts
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
			delete(m.known, other)
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
			p = m.of(tgid)
		}
	}
	p.seen = max(p.seen, now)
	return p
}

// age forgets processes that make no calls any more.
func (m *processes) age(now uint64) {
	for tgid, p := range m.known {
		if now > p.seen+uint64(keepFor) {
			delete(m.known, tgid)
		}
	}
}
