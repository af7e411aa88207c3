package causality

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// vm is a Java VM of which the solver is told: over says of a task whether it is.
type vm struct {
	*Solver
	counts *Counts
	over   map[uint64]bool
	now    uint64
}

func newVM() *vm {
	v := &vm{counts: &Counts{}, over: map[uint64]bool{}, now: 10 * ms}
	v.Solver = NewSolver(Options{
		Hold: 5 * time.Second, Grace: 200 * time.Millisecond, MaxHeld: 1 << 20, MaxAge: time.Hour,
		Habits: func(uint32) Habits {
			return Habits{TaskOver: func(object uint64, _ uint32) (over, known bool) {
				over, known = v.over[object]
				return over, known
			}}
		},
	}, v.counts)
	return v
}

func (v *vm) made(epoch uint64, collections uint32, ranges ...uint64) {
	e := event.Object{What: event.ObjectMade, Tgid: 1, Collections: collections, Ts: v.now, Token: epoch}
	for i := 0; i+1 < len(ranges); i += 2 {
		e.From[i/2], e.To[i/2] = ranges[i], ranges[i+1]
	}
	v.Object(&e)
}

func (v *vm) run(call, object uint64, collections, class uint32) {
	v.Object(&event.Object{
		What: event.ObjectRun, Tgid: 1, Collections: collections, Ts: v.now, Token: call,
		From: [2]uint64{object}, To: [2]uint64{uint64(class)},
	})
}

func (v *vm) woke(object uint64) {
	v.Object(&event.Object{What: event.ObjectWoke, Tgid: 1, Ts: v.now, From: [2]uint64{object}})
}

// ended: the end of a task woke who serves the request of an epoch.
func (v *vm) ended(call, object, epoch uint64) {
	v.Evidence(&event.Evidence{What: wakeBack, Tgid: 1, Call: call, Epoch: epoch, Base: object, Ts: v.now})
}

// TestTasksOfJava: request 100 has made what lies from 1000 to 2000, 200 what lies from 2000 to 3000.
func TestTasksOfJava(t *testing.T) {
	const call, object, class = 1, 1500, 7
	like := func(v *vm) { // others of its class were waited for
		for i := uint64(0); i < minAwaits; i++ {
			v.run(50+i, 1100+16*i, 0, class)
			v.ended(50+i, 1100+16*i, 100)
		}
	}
	for _, tc := range []struct {
		name string
		tell func(v *vm)
		want uint64 // 0: no request
		why  string
	}{
		{name: "waited for", tell: func(v *vm) { v.run(call, object, 0, class); v.ended(call, object, 100) }, want: 100},
		{name: "others were waited for", tell: func(v *vm) { like(v); v.run(call, object, 0, class); v.over[object] = true }, want: 100},
		{
			name: "told before the objects", tell: func(v *vm) { v.made(300, 0, 5000, 6000); like(v); v.run(call, 5500, 0, class); v.over[5500] = true },
			want: 300,
		},
		{
			name: "many objects", tell: func(v *vm) { like(v); v.run(call, 40000, 0, class); v.over[40000] = true; v.made(300, 0, 16000, 50000) },
			want: 300,
		},
		{name: "nobody waits", tell: func(v *vm) { v.run(call, object, 0, class); v.over[object] = true }, why: "allocated: task_not_awaited"},
		{name: "others do otherwise", tell: func(v *vm) { like(v); v.run(call, object, 0, 8); v.over[object] = true }, why: "allocated: task_not_awaited"},
		{name: "it is not known what it does", tell: func(v *vm) {
			for i := uint64(0); i < minAwaits; i++ {
				v.run(60+i, 1400+16*i, 0, 0)
				v.ended(60+i, 1400+16*i, 100)
			}
			v.run(call, object, 0, 0)
			v.over[object] = true
		}, why: "allocated: task_not_awaited"},
		{name: "it goes on", tell: func(v *vm) { like(v); v.run(call, object, 0, class); v.over[object] = false }, why: "allocated: task_lives_on"},
		{name: "whether it goes on is not known", tell: func(v *vm) { like(v); v.run(call, object, 0, class) }, why: "allocated: task_lives_on"},
		{name: "it wakes somebody else", tell: func(v *vm) {
			like(v)
			v.run(call, object, 0, class)
			v.woke(object)
			v.over[object] = true
		}, why: "allocated: task_wakes_others"},
		{name: "it does, and is waited for", tell: func(v *vm) {
			v.run(call, object, 0, class)
			v.woke(object)
			v.ended(call, object, 100)
		}, want: 100},
		{name: "its end wakes others", tell: func(v *vm) {
			like(v)
			v.run(call, object, 0, class)
			v.over[object] = true
			v.ended(call, object, 200)
		}, want: 200},
		{name: "somebody else's is done in it", tell: func(v *vm) {
			like(v)
			v.run(call, object, 0, class)
			v.over[object] = true
			v.Evidence(&event.Evidence{What: wakeBack, Tgid: 1, Call: call, Epoch: 200, BaseUses: sleptLater, Ts: v.now})
		}, why: "allocated: answer_disagrees"},
		{name: "garbage was collected since", tell: func(v *vm) { like(v); v.run(call, object, 1, class); v.over[object] = true }},
		{name: "made by nobody who serves", tell: func(v *vm) { like(v); v.run(call, 3000, 0, class); v.over[3000] = true }},
		{name: "made at the end of a range", tell: func(v *vm) { like(v); v.run(call, 1984, 0, class); v.over[1984] = true }, want: 100},
		{name: "made where another range begins", tell: func(v *vm) { v.run(call, 2000, 0, class); v.ended(call, 2000, 200) }, want: 200},
	} {
		for _, order := range []string{"objects last", "objects first"} {
			t.Run(tc.name+", "+order, func(t *testing.T) {
				v := newVM()
				for _, epoch := range []uint64{100, 200, 300} {
					v.Began(epoch, epoch, 10*ms, Writer{Tgid: 1, Tid: uint32(epoch)})
				}
				objects := func() { v.made(100, 0, 1000, 2000); v.made(200, 0, 2000, 2500, 2500, 3000) }
				if order == "objects first" {
					objects()
				}
				tc.tell(v)
				if order == "objects last" {
					objects()
				}
				for _, epoch := range []uint64{100, 200, 300} {
					v.Ended(epoch, epoch, 40*ms, Writer{Tgid: 1, Tid: uint32(epoch)})
				}
				v.options.Explain = true
				var got Answer
				v.Hold(Call{ID: call, Start: 20 * ms, End: 30 * ms, Writer: Writer{Tgid: 1, Tid: 9}, EndTid: 9}, func(a Answer) { got = a })
				v.Tick(100 * ms)
				v.Tick(10_000 * ms)
				require.Equal(t, tc.want, got.Request, "%+v", got)
				if tc.want != 0 {
					require.Equal(t, Linked, got.Outcome)
					require.Equal(t, tc.name != "its end wakes others", slices.Contains(got.Hints, "allocated"), "%v", got.Hints)
				}
				if tc.why != "" {
					require.Contains(t, got.Refused, tc.why)
				}
			})
		}
	}
}

// TestEndOfATask: where wake-ups say little, as silent ends are as frequent as others, one that is the end of the task in
// which the call was made says it all.
func TestEndOfATask(t *testing.T) {
	const call, object = 1, 1500
	for _, tc := range []struct {
		name   string
		base   uint64
		doubts uint8
		passed uint8
		want   uint64
	}{
		{name: "its end", base: object, want: 100},
		{name: "who is woken has waited for something else before", base: object, doubts: sleptLater, want: 100},
		{name: "another worker was woken before", base: object, doubts: othersToo, want: 100},
		{name: "another request was woken before", base: object, doubts: doneBefore},
		{name: "it serves a request", base: object, doubts: serves},
		{name: "passed on", base: object, passed: 1},
		{name: "the end of another task", base: object + 48},
		{name: "not the end", base: 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := newVM()
			for _, epoch := range []uint64{100, 200} {
				v.Began(epoch, epoch, 10*ms, Writer{Tgid: 1, Tid: uint32(epoch)})
			}
			for i := range uint64(40) { // ends without a call, and calls without an end
				v.Evidence(&event.Evidence{What: wakeBack, Tgid: 1, Epoch: 200, Ts: v.now})
				v.Evidence(&event.Evidence{What: next, Tgid: 1, Call: 50 + i, Epoch: 51 + i, Base: worker, Ts: v.now})
			}
			v.run(call, object, 3, 7) // who has made it is not known: it was moved
			if tc.doubts&doneBefore != 0 {
				v.Object(&event.Object{What: event.ObjectWoke, Tgid: 1, Collections: 3, Ts: v.now, From: [2]uint64{object}})
			}
			v.Evidence(&event.Evidence{
				What: wakeBack, Tgid: 1, Call: call, Epoch: 100, Base: tc.base, Uses: tc.passed, BaseUses: tc.doubts, Ts: v.now,
			})
			for _, epoch := range []uint64{100, 200} {
				v.Ended(epoch, epoch, 40*ms, Writer{Tgid: 1, Tid: uint32(epoch)})
			}
			got := decide(v.Solver, Call{ID: call, Start: 20 * ms, End: 30 * ms, Writer: Writer{Tgid: 1, Tid: 9}, EndTid: 9})
			require.Equal(t, tc.want, got.Request, "%+v", got)
			if tc.want != 0 {
				require.Contains(t, got.Hints, "wake_back")
			}
		})
	}
}

// TestCallsBeforeTheEndOfATask: all that is done in a task is for the request that is woken at the end of it.
func TestCallsBeforeTheEndOfATask(t *testing.T) {
	const call, last, object = 1, 2, 1500
	for _, tc := range []struct {
		name string
		tell func(v *vm)
		want uint64
		why  string
	}{
		{name: "one waits", tell: func(v *vm) { v.ended(last, object, 100) }, want: 100},
		{name: "nobody waits", tell: func(*vm) {}},
		{name: "two wait", tell: func(v *vm) { v.ended(last, object, 100); v.ended(last, object, 200) }},
		{name: "one waits, and is woken again", tell: func(v *vm) { v.ended(last, object, 100); v.ended(last, object, 100) }, want: 100},
		{name: "it woke somebody before", tell: func(v *vm) { v.woke(object); v.ended(last, object, 100) }, why: "task_awaited: task_wakes_others"},
		{name: "that was another task", tell: func(v *vm) { v.ended(last, object+48, 100) }},
		{name: "its response led to another", tell: func(v *vm) {
			v.Evidence(&event.Evidence{What: wakeBack, Tgid: 1, Call: call, Epoch: 200, BaseUses: doneBefore, Ts: v.now})
			v.ended(last, object, 100)
		}, why: "task_awaited: answer_disagrees"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := newVM()
			v.options.Explain = true
			for _, epoch := range []uint64{100, 200} {
				v.Began(epoch, epoch, 10*ms, Writer{Tgid: 1, Tid: uint32(epoch)})
			}
			v.run(call, object, 0, 7)
			v.run(last, object, 0, 7)
			tc.tell(v)
			for _, epoch := range []uint64{100, 200} {
				v.Ended(epoch, epoch, 40*ms, Writer{Tgid: 1, Tid: uint32(epoch)})
			}
			got := decide(v.Solver, Call{ID: call, Start: 20 * ms, End: 30 * ms, Writer: Writer{Tgid: 1, Tid: 9}, EndTid: 9})
			require.Equal(t, tc.want, got.Request, "%+v", got)
			if tc.want != 0 {
				require.Equal(t, []string{"task_awaited"}, got.Hints)
			}
			if tc.why != "" {
				require.Contains(t, got.Refused, tc.why)
			}
		})
	}
}

// TestMostAreWaitedForByOthers: a class of tasks whose end wakes other requests than those that made them is not believed.
func TestMostAreWaitedForByOthers(t *testing.T) {
	v := newVM()
	v.made(100, 0, 1000, 9000)
	for i := uint64(0); i < 40; i++ {
		v.run(50+i, 1000+16*i, 0, 7)
		v.ended(50+i, 1000+16*i, 100+i%2) // each second
	}
	v.run(1, 8000, 0, 7)
	v.over[8000] = true
	v.objects.ask()
	known, _ := v.objects.runs.get(1)
	require.EqualValues(t, taskUnawaited, v.objects.standing(known))
}

// TestTasksOfARandomVM: threads make objects in buffers of their own, all of one heap, of which garbage is collected now
// and then; each request makes tasks, and waits for them in order or not. Some tasks do what others want: their calls
// are of nobody, or of another request. Whatever comes late or is lost, no call is linked to another request.
func TestTasksOfARandomVM(t *testing.T) {
	linked, calls := 0, 0
	for seed := range uint64(400) {
		m := &heapModel{vm: newVM(), r: rand.New(rand.NewPCG(seed, 1)), heap: 1 << 20}
		m.play()
		for _, c := range m.calls {
			if c.got.Outcome == Linked {
				require.Equal(t, c.request, c.got.Request, "seed %d: call %d of %s, %+v", seed, c.id, c.what, c.got)
				linked++
			}
			if c.request != 0 && c.what == "task" {
				calls++
			}
		}
	}
	require.Greater(t, linked*2, calls, "%d of %d calls are linked", linked, calls)
}

type heapModel struct {
	*vm
	r           *rand.Rand
	heap        uint64
	collections uint32
	buffers     [4]buffer // of each thread that serves
	calls       []*modelCall
	queue       []*modelCall // of whoever has put them there
	next        uint64
}

// buffer of a thread: where it begins and ends, and up to where objects are in it.
type buffer struct{ start, top, end uint64 }

type modelCall struct {
	id, request uint64
	what        string
	got         Answer
}

// allocate moves a thread on in its buffer, or into a new one, and says where the object is.
func (m *heapModel) allocate(thread int, size uint64) uint64 {
	b := &m.buffers[thread]
	if b.end-b.top < size {
		m.heap += uint64(m.r.IntN(3)) * 4096
		*b = buffer{m.heap, m.heap, m.heap + 2048 + uint64(m.r.IntN(8))*1024}
		m.heap = b.end
	}
	at := b.top
	b.top += size
	return at
}

// collect: what lives is elsewhere, and its place is used again.
func (m *heapModel) collect() {
	m.collections++
	m.buffers = [4]buffer{}
	m.heap = 1 << 20
	clear(m.over)
}

func (m *heapModel) call(request uint64, what string) *modelCall {
	m.next++
	c := &modelCall{id: m.next, request: request, what: what}
	m.calls = append(m.calls, c)
	return c
}

// runs says that a call was made in the task at the address, by a thread of the pool.
func (m *heapModel) runs(c *modelCall, at uint64, class uint32) {
	m.now += 1000
	if m.r.IntN(20) > 0 { // a record is lost now and then
		m.run(c.id, at, m.collections, class)
	}
	tid := uint32(90 + m.r.IntN(3))
	m.Hold(Call{ID: c.id, Start: m.now, End: m.now + 500, Writer: Writer{Tgid: 1, Tid: tid}, EndTid: tid}, func(a Answer) { c.got = a })
	m.now += 1000
}

func (m *heapModel) play() {
	for n := range 60 {
		thread := m.r.IntN(len(m.buffers))
		epoch := uint64(1000 + n)
		who := Writer{Tgid: 1, Tid: uint32(thread + 1)}
		m.allocate(thread, 64) // before it has read the request
		start, begun := m.buffers[thread], m.collections
		m.now += 1000
		m.Began(epoch, epoch, m.now, who)
		m.allocate(thread, uint64(16+m.r.IntN(2000)))
		switch m.r.IntN(5) {
		case 0: // it leaves its call, and somebody else's is there already
			if m.r.IntN(2) == 0 {
				m.queue = append(m.queue, m.call(0, "background"))
			}
			m.queue = append(m.queue, m.call(epoch, "queue"))
			at := m.allocate(thread, 48)
			for i, c := range m.queue {
				m.runs(c, at, 2)
				m.Object(&event.Object{What: event.ObjectWoke, Tgid: 1, Collections: m.collections, Ts: m.now, From: [2]uint64{at}})
				if c.request != 0 && i > 0 {
					m.Evidence(&event.Evidence{What: wakeBack, Tgid: 1, Call: c.id, Epoch: c.request, BaseUses: sleptLater, Ts: m.now})
				}
			}
			m.queue = nil
			m.over[at] = true
		default:
			for range 1 + m.r.IntN(3) {
				at := m.allocate(thread, 48)
				c := m.call(epoch, "task")
				if m.r.IntN(12) == 0 {
					m.collect()
					at = m.heap // where it was moved
					m.heap += 64
				}
				m.runs(c, at, 1)
				m.over[at] = true
				if m.r.IntN(3) > 0 && m.r.IntN(20) > 0 {
					m.ended(c.id, at, epoch)
				}
			}
		}
		// What bpf/javatask.bpf.h tells when the response begins.
		now := m.buffers[thread]
		told := []uint64{now.start, now.top}
		if begun == m.collections && now.start == start.start {
			told[0] = start.top
		} else if begun == m.collections {
			told = append(told, start.top, start.end)
		}
		if m.r.IntN(20) > 0 {
			m.made(epoch, m.collections, told...)
		}
		m.now += 1000
		m.Ended(epoch, epoch, m.now, who)
		m.Tick(m.now)
	}
	m.Flush()
}
