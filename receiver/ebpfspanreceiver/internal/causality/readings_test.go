package causality

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// A model of a client that shares a connection: goroutines give their tasks to one that writes what waits, and another
// one reads the responses, several in one read, and tells those who wait.

// sharedTask is a task, and its call where it has one.
type sharedTask struct {
	request uint64 // 0: of nobody
	key     uint64 // by which a program may sort
	batch   *sharedBatch
	call    Call
}

// sharedBatch is what a writer has taken at once, in this order, and what it has made calls of.
type sharedBatch struct{ taken, wire []*sharedTask }

// sharedClient says how one does it.
type sharedClient struct {
	// drops: the writer answers some tasks by itself. sorts: it puts what it has taken into another order. splits: it
	// goes out in several writes.
	drops, sorts, splits bool
	// apart: a read holds responses of one batch only; whole: all of them.
	apart, whole bool
	// gaveUp: some do not wait any more, and get nothing.
	gaveUp bool
	// deliver is what the reader gives away after a read of the responses of read; open are all that are not answered,
	// in the order of the connection, these included.
	deliver func(read, open []*sharedTask) []delivery
	// linked: nearly all of its calls are that are of requests.
	linked bool
}

// delivery is one thing that a reader gives away: to the owner of a task, having taken so many, the last of them for
// task of.
type delivery struct {
	to, of *sharedTask
	taken  uint8
}

// inOrder: a response is given to the task that it is of, which was taken for it. The writer passed it on when it had
// taken it, and no other yet.
func inOrder(read, _ []*sharedTask) (out []delivery) {
	for _, t := range read {
		out = append(out, delivery{t, t, 1})
	}
	return out
}

// afterAll is the same, where the writer passes its tasks on when it has taken them all.
func afterAll(read, _ []*sharedTask) []delivery {
	out := inOrder(read, nil)
	for i, t := range read {
		out[i].of = t.batch.taken[len(t.batch.taken)-1]
	}
	return out
}

// inTheEnd: the reader has the tasks of a batch as they were taken, and goes through them when the last response is
// there.
func inTheEnd(read, open []*sharedTask) (out []delivery) {
	for i, t := range read {
		if i+1 < len(open) && open[i+1].batch == t.batch {
			continue
		}
		for j, u := range t.batch.taken {
			if slices.Contains(t.batch.wire, u) {
				out = append(out, delivery{u, t.batch.taken[len(t.batch.taken)-1], uint8(max(0, 1-j))})
			}
		}
	}
	return out
}

// oneByOneInTheEnd is the same, and it takes the tasks one by one.
func oneByOneInTheEnd(read, open []*sharedTask) []delivery {
	out := inTheEnd(read, open)
	for i := range out {
		out[i].of, out[i].taken = out[i].to, 1
	}
	return out
}

// byKey: the reader goes through what one read holds in an order of its own. It has taken all tasks before.
func byKey(read, _ []*sharedTask) []delivery {
	of := slices.Clone(read)
	slices.SortFunc(of, func(a, b *sharedTask) int { return cmp.Compare(a.key, b.key) })
	out := inOrder(of, nil)
	for i := range out {
		out[i].of, out[i].taken = read[len(read)-1], uint8(len(read))
		if i > 0 {
			out[i].of, out[i].taken = nil, 0
		}
	}
	return out
}

// lastFirst: it goes through what one read holds from behind, and looks up the task of each.
func lastFirst(read, _ []*sharedTask) []delivery {
	of := slices.Clone(read)
	slices.Reverse(of)
	return inOrder(of, nil)
}

// slots: for each response the reader gives a slot to who is next in the batch.
func slots(read, _ []*sharedTask) []delivery {
	out := inOrder(read, nil)
	for i, t := range read {
		batch := t.batch.taken
		out[i].to = batch[(slices.Index(batch, t)+1)%len(batch)]
	}
	return out
}

// twice: it gives more than the response.
func twice(read, _ []*sharedTask) (out []delivery) {
	for _, d := range inOrder(read, nil) {
		out = append(out, d, delivery{})
	}
	return out
}

// unseenTasks: where the reader has its tasks from is not seen.
func unseenTasks(read, _ []*sharedTask) []delivery {
	out := inOrder(read, nil)
	for i := range out {
		out[i].of, out[i].taken = nil, 0
	}
	return out
}

// sharedRun tells a solver what a client does.
type sharedRun struct {
	sharedClient
	rng    *rand.Rand
	solver *Solver
	id, ts uint64
	reader uint64
	open   []*sharedTask
	calls  []*sharedTask
	got    map[int]Answer // by the place in calls
}

func newSharedRun(seed uint64, c sharedClient) *sharedRun {
	return &sharedRun{
		sharedClient: c, rng: rand.New(rand.NewPCG(seed, 9)), ts: uint64(time.Second), reader: 8, got: map[int]Answer{},
		solver: NewSolver(Options{
			Hold: 5 * time.Second, Grace: 200 * time.Millisecond, MaxHeld: 1 << 20, MaxAge: time.Hour,
		}, &Counts{}),
	}
}

func (r *sharedRun) tick() uint64 { r.ts += 1000 + r.rng.Uint64N(5000); return r.ts }

func (r *sharedRun) owner(request uint64) Writer {
	return Writer{Tgid: 1, Context: 1000 + request, Kind: event.Goroutine}
}

// batch is taken and written.
func (r *sharedRun) batch() {
	b := &sharedBatch{}
	for range 1 + r.rng.IntN(2)*r.rng.IntN(6) {
		t := &sharedTask{key: r.rng.Uint64(), batch: b}
		if r.rng.IntN(8) > 0 {
			r.id++
			t.request = r.id
			r.solver.Began(t.request, t.request, r.tick(), r.owner(t.request))
		}
		b.taken = append(b.taken, t)
		if !r.drops || r.rng.IntN(3) > 0 {
			b.wire = append(b.wire, t)
		}
	}
	if r.sorts {
		slices.SortFunc(b.wire, func(a, b *sharedTask) int { return cmp.Compare(a.key, b.key) })
	}
	r.write(b)
	r.open = append(r.open, b.wire...)
}

// write: what the kernel side says of a write is of the task that was taken last. If there was one only, it is true.
func (r *sharedRun) write(b *sharedBatch) {
	for first := 0; first < len(b.wire); {
		n := len(b.wire) - first
		if r.splits {
			n = 1 + r.rng.IntN(n)
		}
		r.id++
		id, at := r.id, r.tick()
		for _, t := range b.wire[first : first+n] {
			t.call = Call{
				ID: id, Writer: Writer{Tgid: 1, Context: 7, Kind: event.Goroutine}, Start: at,
				Together: n > 1, Overlapped: true, Later: first > 0,
			}
		}
		if last := b.taken[len(b.taken)-1]; last.request != 0 {
			r.solver.Evidence(&event.Evidence{
				What: channel, Tgid: 1, Ts: at, Call: id, Epoch: last.request, Segment: id,
				Uses: uint8(min(len(b.taken), 1+first+len(b.taken)-len(b.wire)+n)),
			})
		}
		first += n
	}
}

// read takes the responses of some that are open.
func (r *sharedRun) read() {
	n := 1 + r.rng.IntN(len(r.open))
	if r.apart || r.whole {
		n = len(r.open[0].batch.wire)
		for i, t := range r.open {
			if t.batch != r.open[0].batch {
				n = i
				break
			}
		}
		if !r.whole {
			n = 1 + r.rng.IntN(n)
		}
	}
	if r.whole && !r.apart { // of several batches
		for n < len(r.open) && r.rng.IntN(2) > 0 {
			n += len(r.open[n].batch.wire)
		}
	}
	n = min(n, len(r.open))
	read, at := r.open[:n], r.tick()
	for _, t := range read {
		i := len(r.calls)
		t.call.End, t.call.EndContext = at, r.reader
		r.calls = append(r.calls, t)
		r.solver.Hold(t.call, func(a Answer) { r.got[i] = a })
	}
	sent := uint8(0)
	for _, d := range r.deliver(read, r.open) {
		if r.gaveUp && r.rng.IntN(100) == 0 {
			continue
		}
		sent++
		e := event.Evidence{
			What: responseBack, Tgid: 1, Ts: r.tick(), Segment: r.reader ^ uint64(uint32(at))<<32,
			Uses: sent, BaseUses: d.taken,
		}
		if d.of != nil {
			e.Base = d.of.request
		}
		if r.rng.IntN(3) == 0 { // through a buffer
			r.solver.Evidence(&e)
			e.Base = 0
		}
		if d.to != nil {
			e.Epoch = d.to.request
		}
		r.solver.Evidence(&e)
	}
	r.open = r.open[n:]
	for _, t := range read {
		if t.request != 0 {
			r.solver.Ended(t.request, t.request, r.tick(), r.owner(t.request))
		}
	}
}

func (r *sharedRun) run(batches int) {
	for range batches {
		r.batch()
		for len(r.open) > 0 && r.rng.IntN(3) > 0 {
			r.read()
		}
		if r.rng.IntN(10) == 0 {
			r.solver.Tick(r.ts)
		}
	}
	for len(r.open) > 0 {
		r.read()
	}
	r.solver.Tick(r.ts + uint64(time.Second))
	r.solver.Flush()
}

// judge fails on a wrong link. Returns the share that is linked of the calls that are of requests and went out with
// others.
func (r *sharedRun) judge(t *testing.T) float64 {
	t.Helper()
	linked, of := 0, 0
	for i, task := range r.calls {
		a := r.got[i]
		counts := task.request != 0 && task.call.Together
		if counts {
			of++
		}
		if a.Outcome != Linked {
			continue
		}
		if counts {
			linked++
		}
		require.Equal(t, task.request, a.Request, "call %d: %v", i, a)
	}
	return float64(linked) / float64(of)
}

// TestSharedConnections: whatever a client does that shares a connection, no link is wrong; and where the reader gives
// each response to whoever waits for it as it comes, nearly all are there. Where it does not, there are none.
func TestSharedConnections(t *testing.T) {
	for name, c := range map[string]sharedClient{
		"in order":                     {deliver: inOrder, linked: true},
		"in one read":                  {deliver: inOrder, whole: true, linked: true},
		"several writes":               {deliver: inOrder, splits: true, linked: true},
		"answers some itself":          {deliver: inOrder, drops: true, splits: true, linked: true},
		"passed on together":           {deliver: afterAll},
		"sorts":                        {deliver: afterAll, sorts: true},
		"sorts and drops":              {deliver: afterAll, sorts: true, drops: true},
		"some give up":                 {deliver: inOrder, gaveUp: true},
		"tasks unseen":                 {deliver: unseenTasks},
		"tasks unseen, in one read":    {deliver: unseenTasks, whole: true},
		"batches":                      {deliver: inTheEnd},
		"batches, sorted":              {deliver: inTheEnd, sorts: true},
		"batches, sorted, one read":    {deliver: inTheEnd, sorts: true, whole: true},
		"batches, sorted, apart":       {deliver: inTheEnd, sorts: true, whole: true, apart: true},
		"batches with gaps":            {deliver: inTheEnd, sorts: true, drops: true, whole: true},
		"batches, some give up":        {deliver: inTheEnd, sorts: true, gaveUp: true},
		"batches one by one":           {deliver: oneByOneInTheEnd, sorts: true},
		"batches one by one, apart":    {deliver: oneByOneInTheEnd, sorts: true, whole: true, apart: true},
		"priorities":                   {deliver: byKey},
		"priorities both ways":         {deliver: byKey, sorts: true},
		"last first":                   {deliver: lastFirst},
		"slots":                        {deliver: slots, splits: true},
		"slots of a writer that sorts": {deliver: slots, sorts: true},
		"more than responses":          {deliver: twice},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(5) {
				r := newSharedRun(seed, c)
				r.run(2000)
				share := r.judge(t)
				t.Logf("seed %d: %.3f of %d", seed, share, len(r.calls))
				if c.linked {
					require.Greater(t, share, 0.99, "seed %d", seed)
				}
			}
		})
	}
}

// TestReaderKeepsStep: a reading counts only while those before it, of the same reader, were in step as well.
func TestReaderKeepsStep(t *testing.T) {
	m := &readings{}
	next := uint32(100)
	read := func(responses, given int) *Call {
		next++
		var c *Call
		for range responses {
			c = &Call{Writer: Writer{Tgid: 1, Context: 7, Kind: event.Goroutine}, EndContext: 8, End: uint64(next), Overlapped: true}
			c.place = m.over(c)
		}
		for i := range given {
			m.gave(&event.Evidence{
				What: responseBack, Tgid: 1, Segment: 8 ^ uint64(next)<<32, Uses: uint8(i + 1), BaseUses: 1, Epoch: 5, Base: 5,
			})
		}
		return c
	}
	counts := func(c *Call) bool {
		edges := m.edges(nil, c)
		require.Len(t, edges, 1)
		return inStep.keeps(nil, &edges[0], c)
	}
	require.True(t, counts(read(1, 1)))
	require.True(t, counts(read(2, 2)))
	require.False(t, counts(read(2, 3)), "more than responses")
	for range inARow - 1 {
		require.False(t, counts(read(1, 1)))
	}
	require.True(t, counts(read(1, 1)))
	read(1, 0)
	require.False(t, counts(read(1, 1)), "it had waited for more responses")
}

// TestCrowdedReading: where more responses ended in one read than are told apart, that says nothing, neither for the
// reader nor against it.
func TestCrowdedReading(t *testing.T) {
	for _, tc := range []struct {
		responses int
		counts    bool
	}{{128, true}, {maxHanded, true}, {maxHanded + 1, false}, {1000, false}} {
		m, p := &readings{}, &process{counts: &ServiceCounts{}}
		var c *Call
		for range tc.responses {
			c = &Call{Writer: Writer{Tgid: 1, Context: 7, Kind: event.Goroutine}, EndContext: 8, End: 100, Overlapped: true}
			c.place = m.over(c)
		}
		for i := range tc.responses - 1 {
			m.gave(&event.Evidence{What: responseBack, Tgid: 1, Segment: 8 ^ 100<<32, Uses: uint8(min(i+1, 255)), BaseUses: 1})
		}
		m.judged(c, p)
		require.Equal(t, tc.counts, m.reader(c).all == 1, "%d responses, of which one was given to nobody", tc.responses)
		require.Equal(t, tc.counts, p.trials[responseOrder<<1].all == 1)
	}
}
