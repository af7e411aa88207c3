package causality

// kind is a row: one kind of evidence that the kernel side reports.
type kind struct {
	// hint is its name on a span (ebpf.link.hint).
	hint string
	// rank orders evidence that disagrees: the lower one wins. Equal ranks that disagree cancel
	// each other. disabled kinds are counted and not used.
	rank rank
	// confidence is how often it names the right request, from measurement.
	confidence float64
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
)

// kinds has a row for every number of enum evidence_kind. A kind is added by adding a row here and
// emitting it in bpf/.
var kinds = [...]kind{
	sameThread: {"same_thread", exact, 0.999},
	spawn:      {"thread_spawn", inherited, 0.995},
	goCreated:  {"goroutine_created", inherited, 0.99},
	// Its parent may serve another request by now than the one that it was created in.
	goParent:    {"goroutine_parent", disabled, 0.9},
	channel:     {"channel", handed, 0.995},
	channelBack: {"channel_back", exact, 0.999},
	loop:        {"event_loop", disabled, 0.5},
	taskBack:    {"task_back", handed, 0.995},
	answer:      {"answer", exact, 0.999},
	// From one call to the one before it: nothing by itself.
	next:     {"next", disabled, 0.5},
	wakeBack: {"wake_back", exact, 0.999},
	// The woken worker is often not the one that takes the task.
	wake:        {"wake", disabled, 0.5},
	notifyBack:  {"notify_back", exact, 0.98},
	connected:   {"connected", disabled, 0.8},
	item:        {"item", exact, 0.999},
	copied:      {"context_copied", inherited, 0.99},
	inContext:   {"context", exact, 0.999},
	asyncID:     {"async_id", exact, 0.995},
	statistical: {"statistical", disabled, 0.5},
}

// Outcome says what became of a call. Each is a counter.
type Outcome uint8

const (
	// Linked: the request is known.
	Linked Outcome = iota
	// NoEvidence: nothing says which request, if any, the call belongs to.
	NoEvidence
	// Untrusted: there is evidence, of kinds that are not used on their own.
	Untrusted
	// UnknownRequest: the evidence names a request of which nothing was parsed.
	UnknownRequest
	// Late: the call began after the response had been sent.
	Late
	// Aged: the request has been open for longer than any is believed to be served.
	Aged
	// Conflict: evidence of equal rank names several requests.
	Conflict
)

// Outcomes names every Outcome, in order, as telemetry spells it.
var Outcomes = [...]string{
	Linked: "linked", NoEvidence: "no_evidence", Untrusted: "untrusted",
	UnknownRequest: "unknown_request", Late: "late", Aged: "aged", Conflict: "conflict",
}
