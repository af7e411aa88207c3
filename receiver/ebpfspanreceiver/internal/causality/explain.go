package causality

import "slices"

// Refusal says why evidence of a call without a request was not used. Each is a counter, by kind.
type Refusal uint8

const (
	_ Refusal = iota
	// NeverAlone: the kind would say the same of a call for nobody.
	NeverAlone
	// NotProven: it was not seen to be right in this process often enough, Refuted: it was seen to be wrong.
	NotProven
	Refuted
	// Contradicted: evidence of the same rank names another request.
	Contradicted
	// InGap: it might not count, had no record been lost. See gaps.go.
	InGap

	// What admit says.

	RequestUnknown
	BeforeRequest
	AfterResponse
	RequestTooOld

	// What the rules say.

	LaterInCall
	ContextServesSeveral
	HandOverUnseen
	TwoTasksAtOnce
	SeveralInWrite
	SeveralInRead
	ResponseReadElsewhere
	ContextOutlivesRequest
	ThreadLivesOn
	TaskLivesOn
	TaskNotAwaited
	TaskWakesOthers
	ThreadHandsOver
	AnswersWithoutCalls
	WakeInDoubt
	SeveralResponses
	SeveralRequestsRead
	OutOfStep
	AnotherTask

	// What chains say.

	EndUnknown
	BeginningUnknown
	EndsDisagree

	// What the ids of Node.js say.

	CauseUnknown
	ChainOpen
	WorksForSeveral
	AnswerDisagrees
	BegunForNobody
)

// Refusals names every Refusal, in order, as spans and telemetry spell it.
var Refusals = [...]string{
	NeverAlone: "never_alone", NotProven: "not_proven", Refuted: "refuted", Contradicted: "contradicted",
	InGap: "records_lost", RequestUnknown: "request_unknown", BeforeRequest: "before_request",
	AfterResponse: "after_response", RequestTooOld: "request_too_old", LaterInCall: "later_in_call",
	ContextServesSeveral: "context_serves_several", HandOverUnseen: "hand_over_unseen",
	TwoTasksAtOnce: "two_tasks_at_once", SeveralInWrite: "several_in_write", SeveralInRead: "several_in_read",
	ResponseReadElsewhere: "response_read_elsewhere", ContextOutlivesRequest: "context_outlives_request",
	ThreadLivesOn: "thread_lives_on", TaskLivesOn: "task_lives_on",
	TaskNotAwaited: "task_not_awaited", TaskWakesOthers: "task_wakes_others", ThreadHandsOver: "thread_hands_over",
	AnswersWithoutCalls: "answers_without_calls", WakeInDoubt: "wake_in_doubt",
	SeveralResponses: "several_responses", SeveralRequestsRead: "several_requests_read",
	OutOfStep: "out_of_step", AnotherTask: "another_task", EndUnknown: "end_unknown",
	BeginningUnknown: "beginning_unknown", EndsDisagree: "ends_disagree", CauseUnknown: "cause_unknown",
	ChainOpen: "chain_open", WorksForSeveral: "works_for_several", AnswerDisagrees: "answer_disagrees",
	BegunForNobody: "begun_for_nobody",
}

// maxRefusals bounds what is said of one call.
const maxRefusals = 8

// refused is a kind of evidence that a call has, and why that was not used.
type refused struct {
	kind uint8
	why  Refusal
}

// refusals says why the call that was just judged has no request: of each kind of evidence that names one what keeps it
// from being used. chain is what keeps the chain with it, 0 where that was not looked for. It holds until the next call.
func (s *Solver) refusals(h *held, own *verdict, chain Refusal) []refused {
	s.refused = s.refused[:0]
	for _, v := range s.verdicts {
		why := v.why
		switch {
		case v.of>>1 == next:
			if chain == 0 {
				if _, chain = s.chained(h, own); chain == 0 {
					chain = NotProven // it is not asked where evidence disagrees
				}
			}
			why = chain
		case why == 0, why == InGap && !h.process.trusts(v.of, v.source): // it would not count either way
			why = h.process.distrust(v.of, v.source)
		}
		s.refuse(v.of, why)
	}
	if _, why := s.async.named(s.reported(&h.call), &h.call); why != 0 {
		s.refuse(asyncID<<1, why)
	}
	return s.refused
}

func (s *Solver) refuse(of sort, why Refusal) {
	if r := (refused{uint8(of >> 1), why}); len(s.refused) < maxRefusals && !slices.Contains(s.refused, r) {
		s.refused = append(s.refused, r)
	}
}

// distrust is why an edge of a sort that keeps all rules has not decided.
func (p *process) distrust(of sort, source *trial) Refusal {
	switch trust := of.trust(); {
	case p.trusts(of, source):
		return Contradicted
	case of&1 != 0:
		return of.kind().unsure.refusal
	case trust == hint:
		return NeverAlone
	case trust == unproven:
		return NotProven
	}
	return Refuted
}

// noEvidence is said of a call of which nothing was seen but its bytes.
const noEvidence = "no_evidence"

// explain spells refusals as ebpf.link.refused has them: "kind: reason".
func (s *Solver) explain(c *Call, all []refused) []string {
	out := make([]string, 0, len(all))
	for _, r := range all {
		out = append(out, kinds[r.kind].hint+": "+Refusals[r.why])
	}
	if len(out) == 0 {
		out = append(out, noEvidence)
		if s.lostSince(c.Start) { // it may have been evidence
			out = append(out, Refusals[InGap])
		}
	}
	return out
}
