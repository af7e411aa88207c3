package causality

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"

// rule says of an edge whether its kind means anything for this call. refusal: why it does not.
type rule struct {
	refusal Refusal
	keeps   func(s *Solver, e *edge, c *Call) bool
}

// service says of a request that was being served when the call was sent, whether it was served in the
// way that evidence of this kind rests on.
type service struct {
	refusal Refusal
	keeps   func(s *Solver, c *Call, r *served) bool
}

// alone: whoever writes for others may have got a later request of the same call unseen.
var alone = rule{LaterInCall, func(_ *Solver, _ *edge, c *Call) bool { return !c.Later }}

// unshared: a context that serves several requests in turn was created in one of them by chance.
var unshared = rule{ContextServesSeveral, func(s *Solver, _ *edge, c *Call) bool { return !s.writers.of(c.Writer).shared }}

// sure: after its first use a context may have taken other work without a hand-over that can be seen (a
// buffered channel), unless the task came back to the request.
var sure = rule{HandOverUnseen, func(s *Solver, e *edge, _ *Call) bool {
	return (e.uses <= 1 || s.tasks.wentTo(e.segment, e.to)) &&
		(e.baseUses <= 1 || s.tasks.wentTo(e.base, e.to))
}}

// itsTask: who had the tasks of two requests at once does not say by being done which call was whose.
var itsTask = rule{TwoTasksAtOnce, func(s *Solver, e *edge, _ *Call) bool {
	return e.segment == 0 || s.tasks.wentTo(e.segment, e.to)
}}

// oneWrite: whoever writes for others may put several of their requests into one write.
var oneWrite = rule{SeveralInWrite, func(s *Solver, e *edge, c *Call) bool {
	return !c.Together || s.tasks.wentTo(e.segment, e.to)
}}

// oneRead: the same of whoever reads for others; and the response that was read may have been the other
// request's.
var oneRead = rule{SeveralInRead, func(_ *Solver, _ *edge, c *Call) bool {
	return !c.Overlapped && (!c.Together || c.EndContext == c.Writer.Context)
}}

// readsItself: the goroutines of a pooled connection were created by whoever opened it, not by whoever
// uses it; one that makes a call for itself reads the response as well.
var readsItself = rule{ResponseReadElsewhere, func(_ *Solver, _ *edge, c *Call) bool { return c.EndContext == c.Writer.Context }}

// endsWithIt: a context that lives on when the request has ended may have been made to work for others,
// from the beginning.
var endsWithIt = service{ContextOutlivesRequest, func(s *Solver, c *Call, r *served) bool {
	return r.end == 0 || s.writers.of(c.Writer).last <= r.end
}}

// onlyTask: a thread that lives on is one of a pool that has grown. It is given other tasks, and goes quiet
// before the request ends in which it was made, so that nothing else shows it.
var onlyTask = rule{ThreadLivesOn, func(s *Solver, e *edge, c *Call) bool {
	return s.lives.isOver(life{tgid: c.Writer.Tgid, tid: c.Writer.Tid, epoch: e.to})
}}

// taskEnds, taskHasOwner and taskToItself: whoever makes a task works for the request, but the task may do what others have
// left for whoever comes. See objects.
var (
	taskEnds     = rule{TaskLivesOn, func(_ *Solver, e *edge, _ *Call) bool { return e.uses != taskUnderWay }}
	taskHasOwner = rule{TaskNotAwaited, func(_ *Solver, e *edge, _ *Call) bool { return e.uses != taskUnawaited }}
	taskToItself = rule{TaskWakesOthers, func(_ *Solver, e *edge, _ *Call) bool { return e.uses != taskWakesOther }}
)

// undisputed: whoever the response led to, if that was seen, is of the same request, even if it is not believed otherwise.
var undisputed = rule{AnswerDisagrees, func(s *Solver, e *edge, c *Call) bool {
	for _, other := range s.reported(c) {
		switch other.kind {
		case wakeBack, notifyBack, answer:
			if other.to != e.to {
				return false
			}
		}
	}
	return true
}}

// ownThread: evidence that rests on threads holds where a thread serves a request from end to end:
// the one that read it answers it, and the one that wrote the call reads its response. Loops that hide in
// a thread pool break that. The same of Java's virtual threads, whatever carries them.
var ownThread = service{ThreadHandsOver, func(s *Solver, c *Call, r *served) bool {
	if c.Writer.Kind == event.Tokio {
		return false // see contexts, which asks for more
	}
	if c.Writer.Context != 0 && c.Writer.Kind != event.Virtual {
		return true
	}
	if c.Writer.Context == 0 && s.threads.migrate(c.Writer.Tgid) {
		return false // it may have run another task in between
	}
	if !c.Writer.is(Writer{Tid: c.EndTid, Context: c.EndContext}) {
		return false
	}
	if r.answerer.Tid == 0 { // not answered, or not yet: judged by what else the process did
		return !s.threads.handOver(c.Writer.Tgid)
	}
	return r.answerer.is(r.reader)
}}

// itsReader: who has read a request that another has taken does not serve it any more.
var itsReader = service{ThreadHandsOver, func(_ *Solver, c *Call, r *served) bool { return !r.taken || c.Writer.is(r.reader) }}

// resumesItself: what a thread does once it has read a response says nothing of that where any thread may go on with it,
// and this one with anything else. Statistics of what was seen do not tell: the first few times nothing has spoken
// against it, and later it depends on the load.
var resumesItself = rule{ThreadHandsOver, func(s *Solver, _ *edge, c *Call) bool { return !s.habits(c.Writer.Tgid).Resumes }}

// waitsItself: a thread that waits for a result sees its request through. One that runs whichever task is ready
// (a worker of tokio) waits for anything, and has read the request for whoever answers it.
var waitsItself = service{ThreadHandsOver, func(s *Solver, _ *Call, r *served) bool {
	return !s.threads.handOver(r.reader.Tgid)
}}
