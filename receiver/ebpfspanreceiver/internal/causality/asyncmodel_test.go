package causality

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// A model of a Node.js loop whose requests make calls in turn, each through a queue of promises, which have no ids:
// what the kernel side reports of it, and what is true.

// nodeModel is a run. Clients send the next request when the last is answered.
type nodeModel struct {
	nodeShape
	*Solver
	rng      *rand.Rand
	now      uint64
	ids      float64
	numbers  uint64
	events   []nodeEvent
	queue    []*nodeTask
	busy     int
	waiting  []nodeWaiting
	open     int
	requests int
	// Of the activation that goes on.
	activation, token uint64
	flags             uint8
	begin, base       float64
	sent              bool
	answered          []*event.Evidence
	// Results.
	calls, right, wrong, nobodys, falseParents int
}

type nodeShape struct {
	clients, calls int
	slots          int           // of the queue, 0: there is none
	shared         bool          // calls of nobody's wait in it as well
	every          time.Duration // between two of them
	same           bool          // they call what requests call
	early          bool          // the queue goes on before who waited for a task does
	sockets        int           // 0: as many as are needed; else calls wait for one, as http.Agent has it
}

type nodeEvent struct {
	at uint64
	do func()
}

// nodeTask is a call of a request (nil: nobody's).
type nodeTask struct {
	of        *nodeRequest
	operation uint64
}

// nodeWaiting waits for a socket; id says where it came from.
type nodeWaiting struct {
	task *nodeTask
	done func()
	id   float64
}

type nodeRequest struct {
	turn uint64
	made int
}

func (m *nodeModel) later(after uint64, do func()) {
	at := m.now + after
	i, _ := slices.BinarySearchFunc(m.events, at+1, func(e nodeEvent, at uint64) int { return cmp.Compare(e.at, at) })
	m.events = slices.Insert(m.events, i, nodeEvent{at, do})
}

// activate is an activation of the loop that runs do.
func (m *nodeModel) activate(flags uint8, token uint64, base float64, do func()) {
	m.numbers++
	m.activation, m.token, m.flags, m.base, m.begin = m.numbers, token, flags, base, m.ids
	m.sent, m.answered = false, nil
	do()
	m.ids++
	e := over(flags, m.activation, token, ids{begin: m.begin, counter: m.ids, base: base})
	e.Ts = m.now
	m.Async(e)
	for _, e := range m.answered {
		e.Ts, e.BaseUses = m.now, uint8(len(m.answered))
		m.Evidence(e)
		m.Ended(e.Epoch, e.Epoch, m.now, reader)
	}
}

func (m *nodeModel) submit(t *nodeTask) {
	if m.slots == 0 || t.of == nil && !m.shared {
		m.send(t, func() { m.goOn(t) })
		return
	}
	m.queue = append(m.queue, t)
	m.drain()
}

func (m *nodeModel) drain() {
	for m.busy < m.slots && len(m.queue) > 0 {
		t := m.queue[0]
		m.queue = m.queue[1:]
		m.busy++
		m.send(t, func() {
			m.busy--
			if m.early {
				m.drain()
			}
			m.goOn(t)
			m.drain()
		})
	}
}

// send makes a call; done runs when its response has arrived.
func (m *nodeModel) send(t *nodeTask, done func()) {
	if m.sockets > 0 && m.open == m.sockets {
		m.ids++
		m.waiting = append(m.waiting, nodeWaiting{t, done, m.ids})
		return
	}
	exec, trigger := m.ids+1, 0.0
	if m.flags&event.AsyncRead == 0 { // a timer's, of nobody
		exec, trigger = 2, 1
	}
	m.ids++
	m.write(t, done, exec, trigger)
}

func (m *nodeModel) write(t *nodeTask, done func(), exec, trigger float64) {
	m.numbers++
	m.ids++
	m.open++
	call, start := m.numbers, m.now
	e := made(m.flags, m.activation, m.token, call, ids{begin: m.begin, counter: m.ids, base: m.base, exec: exec, trigger: trigger})
	e.Ts = m.now
	m.Async(e)
	m.sent = true
	m.later(ms+m.rng.Uint64N(9*ms), func() {
		m.activate(callOf, call, 5, func() {
			m.open--
			if len(m.waiting) > 0 {
				w := m.waiting[0]
				m.waiting = m.waiting[1:]
				m.ids++
				m.write(w.task, w.done, m.ids, w.id)
			}
			done()
		})
		c := Call{ID: call, Writer: reader, Start: start, End: m.now, Operation: t.operation}
		m.Hold(c, func(a Answer) { m.judge(t, a) })
	})
}

func (m *nodeModel) judge(t *nodeTask, a Answer) {
	linked := a.Outcome == Linked
	switch {
	case t.of == nil:
		m.nobodys++
		if linked {
			m.falseParents++
		}
		return
	case linked && a.Request == t.of.turn:
		m.right++
	case linked:
		m.wrong++
	}
	m.calls++
}

// goOn: a task is done.
func (m *nodeModel) goOn(t *nodeTask) {
	r := t.of
	switch {
	case r == nil:
	case r.made < m.nodeShape.calls:
		r.made++
		m.submit(&nodeTask{r, uint64(r.made)})
	default:
		e := answered(m.token, r.turn, 1)
		if m.sent { // another was sent after the same response
			e.Uses = 0
		}
		m.answered = append(m.answered, e)
		m.later(ms/2, m.request)
	}
}

func (m *nodeModel) request() {
	if m.requests == 0 {
		return
	}
	m.requests--
	m.numbers++
	r := &nodeRequest{turn: m.numbers}
	m.Began(r.turn, r.turn, m.now, reader)
	m.activate(event.AsyncRead, r.turn, 3, func() { m.goOn(&nodeTask{of: r}) })
}

func (m *nodeModel) background() {
	if m.requests > 0 {
		m.later(uint64(m.every), m.background)
	}
	operation := uint64(99)
	if m.same {
		operation = 2
	}
	m.activate(0, 0, 0, func() { m.submit(&nodeTask{nil, operation}) })
}

func (m *nodeModel) run() {
	for range m.clients {
		m.later(m.rng.Uint64N(10*ms), m.request)
	}
	m.later(0, m.background)
	for last := m.now; len(m.events) > 0; {
		e := m.events[0]
		m.events = m.events[1:]
		m.now = max(m.now+1000, e.at)
		e.do()
		if m.now > last+100*ms {
			last = m.now
			m.Tick(last)
		}
	}
	m.Tick(m.now + uint64(time.Minute))
	m.Flush()
}

func TestNodeModel(t *testing.T) {
	for name, tc := range map[string]struct {
		shape   nodeShape
		recall  float64
		falsely int // most calls of nobody's that get a parent
	}{
		"in turn, one client":                                 {nodeShape{clients: 1, calls: 3}, 0.99, 0},
		"in turn":                                             {nodeShape{clients: 16, calls: 3}, 0.99, 0},
		"few connections, one client":                         {nodeShape{clients: 1, calls: 3, sockets: 2}, 0.99, 0},
		"few connections, busy":                               {nodeShape{clients: 1, calls: 3, sockets: 2, every: 3 * time.Millisecond}, 0.99, 0},
		"few connections":                                     {nodeShape{clients: 16, calls: 3, sockets: 4}, 0.99, 0},
		"few connections and a queue":                         {nodeShape{clients: 16, calls: 3, sockets: 4, slots: 8, shared: true}, 0, 0},
		"few connections and a queue, one client":             {nodeShape{clients: 1, calls: 3, sockets: 2, slots: 3, shared: true}, 0.3, 0},
		"a queue, one client":                                 {nodeShape{clients: 1, calls: 3, slots: 2}, 0.99, 0},
		"a queue":                                             {nodeShape{clients: 16, calls: 3, slots: 4}, 0.33, 0},
		"a queue that goes on first":                          {nodeShape{clients: 16, calls: 3, slots: 4, early: true}, 0, 0},
		"one that nobody's calls share, one client":           {nodeShape{clients: 1, calls: 3, slots: 2, shared: true}, 0.33, 0},
		"the same, and it goes on first":                      {nodeShape{clients: 1, calls: 3, slots: 2, shared: true, early: true}, 0, 0},
		"one that nobody's calls share, two clients":          {nodeShape{clients: 2, calls: 3, slots: 2, shared: true}, 0.33, 0},
		"one that nobody's calls share":                       {nodeShape{clients: 16, calls: 3, slots: 4, shared: true}, 0.33, 0},
		"one that nobody's calls share now and then":          {nodeShape{clients: 1, calls: 3, slots: 2, shared: true, every: time.Second}, 0.99, 0},
		"a lock that nobody's calls take now and then":        {nodeShape{clients: 1, calls: 3, slots: 1, shared: true, every: time.Second}, 0.99, 0},
		"a lock that nobody's calls take more often":          {nodeShape{clients: 1, calls: 3, slots: 1, shared: true, every: 100 * time.Millisecond}, 0.33, 0},
		"a lock that nobody's calls take, and goes first":     {nodeShape{clients: 1, calls: 3, slots: 1, shared: true, early: true, every: time.Second}, 0.99, 0},
		"few connections and a queue, the same is called":     {nodeShape{clients: 1, calls: 3, sockets: 2, slots: 3, shared: true, same: true}, 0.3, 0},
		"one that nobody's calls share, the same is called":   {nodeShape{clients: 1, calls: 3, slots: 2, shared: true, same: true}, 0.33, 0},
		"a lock that nobody's calls take, the same is called": {nodeShape{clients: 1, calls: 3, slots: 1, shared: true, same: true, every: 100 * time.Millisecond}, 0.33, 0},
		// 1 of 150 calls of an operation is nobody's, and its response lets the request go on, as those of its own
		// calls do: nothing that is seen tells them apart.
		"a lock that they take now and then, the same is called": {nodeShape{clients: 1, calls: 3, slots: 1, shared: true, same: true, every: time.Second}, 0.99, 8},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.shape.every == 0 {
				tc.shape.every = 5 * time.Millisecond
			}
			for seed := range uint64(4) {
				s, _ := newSolver()
				s.options = modelOptions()
				m := &nodeModel{
					nodeShape: tc.shape, Solver: s, rng: rand.New(rand.NewPCG(seed, 3)), now: 1000 * ms, ids: 10, numbers: 1000,
					requests: 600,
				}
				m.run()
				of := fmt.Sprintf("seed %d: %d of %d right, %d wrong, %d of %d of nobody's", seed, m.right, m.calls, m.wrong, m.falseParents, m.nobodys)
				t.Log(of)
				require.Equal(t, 600*tc.shape.calls, m.calls)
				require.Zero(t, m.wrong, of)
				require.LessOrEqual(t, m.falseParents, tc.falsely, of)
				require.Greater(t, float64(m.right), tc.recall*float64(m.calls), of)
			}
		})
	}
}
