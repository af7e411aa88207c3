package causality

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
	// Uncounted: its request is known, and was counted without it: its first bytes became known too late.
	Uncounted
)

// Outcomes names every Outcome, in order, as telemetry spells it.
var Outcomes = [...]string{
	Linked: "linked", NoEvidence: "no_evidence", Untrusted: "untrusted",
	UnknownRequest: "unknown_request", Late: "late", Aged: "aged", Conflict: "conflict",
	Uncounted: "uncounted",
}

// Unlinked: it is not known which request a call belongs to, or whether it belongs to any.
func (o Outcome) Unlinked() bool { return o != Linked && o != Late && o != Uncounted }

// Class says what a link rests on.
type Class uint8

const (
	// Exact: on what is so by construction.
	Exact Class = iota
	// Probable: on a rule that has been right in this process, as far as exact evidence could tell.
	Probable
	// Statistical: on times alone.
	Statistical
)

// Classes names every Class, in order, as spans and telemetry spell it.
var Classes = [...]string{Exact: "exact", Probable: "probable", Statistical: "statistical"}
