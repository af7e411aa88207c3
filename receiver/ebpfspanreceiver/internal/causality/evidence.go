package causality

// kind is a row: one kind of evidence, reported by the kernel side or derived.
type kind struct {
	// hint is its name on a span (ebpf.link.hint).
	hint string
	// rank orders evidence that disagrees: the lower one wins. Equal ranks that disagree cancel
	// each other. disabled kinds are counted and not used.
	rank rank
	// confidence is how often it names the right request, from measurement.
	confidence float64
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
	// disabled: not trusted without calibration.
	disabled
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

	kindCount = iota + 1
)

// kinds has a row for every number of enum evidence_kind. A kind is added by adding a row here and
// emitting it in bpf/, or deriving it.
var kinds = [kindCount]kind{
	sameThread: {"same_thread", exact, 0.999, []rule{sure}, []service{ownThread}},
	spawn:      {"thread_spawn", inherited, 0.995, []rule{alone, unshared, sure}, []service{endsWithIt, ownThread}},
	goCreated: {
		"goroutine_created", inherited, 0.99, []rule{alone, unshared, readsItself, sure}, []service{endsWithIt},
	},
	// Its parent may serve another request by now than the one that it was created in.
	goParent:    {"goroutine_parent", disabled, 0.9, nil, nil},
	channel:     {"channel", handed, 0.995, []rule{alone, oneWrite, sure}, nil},
	channelBack: {"channel_back", exact, 0.999, []rule{alone, oneRead, sure}, nil},
	loop:        {"event_loop", disabled, 0.5, nil, nil},
	taskBack:    {"task_back", handed, 0.995, []rule{alone, oneRead, sure}, nil},
	answer:      {"answer", exact, 0.999, []rule{alone, oneRead, oneResponse}, nil},
	// From one call to the one before it: nothing by itself.
	next:     {"next", disabled, 0.5, nil, nil},
	wakeBack: {"wake_back", exact, 0.999, []rule{alone, oneRead, completes}, nil},
	// The woken worker is often not the one that takes the task.
	wake:        {"wake", disabled, 0.5, nil, nil},
	notifyBack:  {"notify_back", exact, 0.98, []rule{alone, oneRead, oneResponse}, nil},
	connected:   {"connected", disabled, 0.8, nil, nil},
	item:        {"item", exact, 0.999, []rule{alone}, nil},
	copied:      {"context_copied", inherited, 0.99, []rule{alone, unshared}, []service{endsWithIt}},
	inContext:   {"context", exact, 0.999, []rule{alone}, nil},
	asyncID:     {"async_id", exact, 0.995, []rule{alone}, nil},
	statistical: {"statistical", disabled, 0.5, nil, nil},
}
