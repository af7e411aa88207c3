package causality

// kind is a row: one kind of evidence, reported by the kernel side or derived.
type kind struct {
	// hint is its name on a span (ebpf.link.hint).
	hint string
	// rank orders evidence that disagrees: the lower one wins. Equal ranks that disagree cancel
	// each other.
	rank rank
	// confidence is how often it names the right request, from measurement.
	confidence float64
	// way is what it saw of the call.
	way way
	// trust is what it takes to be used.
	trust trust
	// descends: the context that wrote the call was made for the request, or its task was. After the
	// response it still tells where a call comes from.
	descends bool
	// unsure edges of the kind are guesses, whatever its trust: see hint.
	unsure rule
	// stands: an edge is right whatever else has happened, so that it counts where records were lost; nil: none is. See
	// gaps.go.
	stands func(e *edge, c *Call, r *served) bool
	// source is the trial of who or what an edge comes from, which must have proven itself, too: in one process one may be
	// right and the next one wrong. nil: there is none.
	source func(s *Solver, p *process, e *edge, c *Call) *trial
	// rules are what an edge must keep to be used, service what its request must.
	rules   []rule
	service []service
}

type rank uint8

const (
	// exact: by construction.
	exact rank = iota
	// handed: exact while the hand-over was the last thing that reached the context.
	handed
	// inherited: exact unless the context goes on to serve others.
	inherited
	// proven: a guess that has been right in this process, as often as stronger evidence could tell.
	proven
	// chained: the calls before and after it are known.
	chained
	// unranked evidence names nothing by itself.
	unranked
)

// way tells evidence apart that cannot be wrong for the same reason.
type way uint8

const (
	there way = 1 << iota // how the request led to the call
	back                  // what the call's response led to
	both  = there | back
)

// trust of a kind.
type trust uint8

const (
	// given: used, unless it contradicts stronger evidence too often (inexact kinds only).
	given trust = iota
	// unproven: used in the processes in which it has agreed with stronger evidence. See calibration.
	unproven
	// hint: never used alone. It would hold for a background call, about which nothing stronger ever
	// says anything. It is one end of a chain, see chains.go.
	hint
)

// Numbers of enum evidence_kind, bpf/event.h.
const (
	sameThread = 1 + iota
	spawn
	goCreated
	goParent
	channel
	channelBack
	loop
	taskBack
	answer
	next
	wakeBack
	wake
	notifyBack
	connected
	item
	copied
	inContext
	asyncID
	statistical
	responseBack
	responseOrder
	allocated
	awaited
	channelDialed

	kindCount = iota + 1
)

// kinds has a row for every number of enum evidence_kind. A kind is added by adding a row here and
// emitting it in bpf/, or deriving it.
var kinds = [kindCount]kind{
	sameThread: {
		hint: "same_thread", rank: exact, confidence: 0.999, way: both, stands: servesToEnd,
		rules: []rule{sure}, service: []service{ownThread, itsReader},
	},
	spawn: {
		hint: "thread_spawn", rank: inherited, confidence: 0.995, way: there, descends: true,
		rules: []rule{alone, unshared, sure, onlyTask}, service: []service{endsWithIt, ownThread},
	},
	goCreated: {
		hint: "goroutine_created", rank: inherited, confidence: 0.99, way: there, descends: true,
		rules: []rule{alone, unshared, readsItself, sure}, service: []service{endsWithIt},
	},
	// Its parent may serve another request by now than the one that it was created in.
	goParent: {
		hint: "goroutine_parent", rank: proven, confidence: 0.9, way: there, trust: unproven,
		rules: []rule{alone, unshared, readsItself, sure}, service: []service{endsWithIt},
	},
	channel: {
		hint: "channel", rank: handed, confidence: 0.995, way: there, stands: firstUse,
		rules: []rule{alone, oneWrite, sure},
	},
	channelBack: {
		hint: "channel_back", rank: exact, confidence: 0.999, way: back, stands: noTask,
		rules: []rule{alone, oneRead, sure, itsTask},
	},
	// What a loop read last before it wrote. A timer that fires then looks the same.
	loop: {
		hint: "event_loop", rank: unranked, confidence: 0.5, way: there, trust: hint,
		rules: []rule{alone, oneRequest},
	},
	taskBack: {
		hint: "task_back", rank: handed, confidence: 0.995, way: back, stands: firstUse,
		rules: []rule{alone, oneRead, sure},
	},
	answer: {
		hint: "answer", rank: exact, confidence: 0.999, way: back, stands: noTask,
		unsure: severalResponses, rules: []rule{alone, oneRead, resumesItself, itsAnswer, forSomebody},
	},
	// From one call to the one before it.
	next: {
		hint: "next", rank: chained, confidence: 0.5, way: both, trust: unproven,
	},
	wakeBack: {
		hint: "wake_back", rank: exact, confidence: 0.999, way: back,
		rules: []rule{alone, oneRead, resumesItself, aided, completes}, service: []service{waitsItself},
	},
	// The woken worker is often not the one that takes the task; and where it is, it is so for a background
	// task that somebody who serves a request happens to wake it for.
	wake: {
		hint: "wake", rank: unranked, confidence: 0.5, way: there, trust: hint,
		rules: []rule{alone},
	},
	notifyBack: {
		hint: "notify_back", rank: exact, confidence: 0.98, way: back, stands: noTask,
		unsure: severalResponses, rules: []rule{alone, oneRead, resumesItself},
	},
	// A pool keeps the connection and gives it to others.
	connected: {
		hint: "connected", rank: unranked, confidence: 0.8, way: there, trust: hint,
		rules: []rule{alone, oneRequest},
	},
	item: {
		hint: "item", rank: exact, confidence: 0.999, way: there, descends: true, stands: always,
		rules: []rule{alone},
	},
	copied: {
		hint: "context_copied", rank: inherited, confidence: 0.99, way: there, descends: true,
		rules: []rule{alone, unshared}, service: []service{endsWithIt},
	},
	inContext: {
		hint: "context", rank: exact, confidence: 0.999, way: both,
		rules: []rule{alone},
	},
	asyncID: {
		hint: "async_id", rank: exact, confidence: 0.995, way: there,
		rules: []rule{alone},
	},
	statistical: {hint: "statistical", rank: unranked, confidence: 0.5, trust: hint},
	// What the reader gives away may be anything, see readings.
	responseBack: {
		hint: "response_back", rank: proven, confidence: 0.99, way: back, trust: unproven, source: byReader,
		rules: []rule{inStep, itsTasks},
	},
	responseOrder: {
		hint: "response_order", rank: proven, confidence: 0.99, way: back, trust: unproven, source: byReader,
		rules: []rule{inStep, itsTasks},
	},
	allocated: {
		hint: "allocated", rank: inherited, confidence: 0.995, way: there, descends: true,
		rules: []rule{alone, taskEnds, taskHasOwner, taskToItself, undisputed}, service: []service{ownThread},
	},
	awaited: {
		hint: "task_awaited", rank: inherited, confidence: 0.995, way: back,
		rules: []rule{alone, taskToItself, undisputed}, service: []service{ownThread},
	},
	// A client gives a connection to whoever waits for one. But a connection may be a task as well: see connections.
	channelDialed: {
		hint: "channel_dialed", rank: proven, confidence: 0.99, way: there, trust: unproven, source: byConnections,
		rules: []rule{alone, oneWrite, firstUses},
	},
}

// source is the trial that an edge must have passed besides that of its sort, or nil.
func (s *Solver) source(p *process, e *edge, c *Call) *trial {
	if of := kinds[e.kind].source; of != nil {
		return of(s, p, e, c)
	}
	return nil
}

// sort is a kind, or its unsure edges: each is calibrated by itself.
type sort uint8

const sortCount = 2 * kindCount

func (s *Solver) sort(e *edge, c *Call) sort {
	of := sort(e.kind) << 1
	if unsure := kinds[e.kind].unsure; unsure.keeps != nil && unsure.keeps(s, e, c) {
		of |= 1
	}
	return of
}

func (t sort) kind() *kind { return &kinds[t>>1] }

func (t sort) rank() rank {
	if t&1 != 0 {
		return proven
	}
	return t.kind().rank
}

func (t sort) trust() trust {
	if k := t.kind(); t&1 == 0 || k.unsure.keeps == nil {
		return k.trust
	}
	return hint
}

// name as telemetry spells it.
func (t sort) name() string {
	if t&1 != 0 {
		return t.kind().hint + "_unsure"
	}
	return t.kind().hint
}
