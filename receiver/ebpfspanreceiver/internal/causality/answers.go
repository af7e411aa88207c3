package causality

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"

// answers says how far the threads of a pool, which answer requests that others have read, can be believed to
// answer with the call that they made last.
//
// A task that answers nothing (a refresh, a report) ends unseen, and the next one begins unseen when it was in
// the queue already. If that makes no call, its answer looks like the end of the call before. So both must be
// rare together, as with wakes.
type answers struct {
	sure   float64 // a response was begun after a call
	empty  float64 // a response was begun, by a thread that makes calls, without one
	silent float64 // a call was made after another one, by a thread that answers
}

// saw takes every edge that the kernel side reports.
func (a *answers) saw(e *event.Evidence) {
	switch {
	case e.What == answer && e.Segment == 0 && e.Call == 0:
		a.empty++
	case e.What == answer && e.Segment == 0:
		a.sure++
	case e.What == next && e.Base&worker != 0:
		a.silent++
	default:
		return
	}
	if a.sure+a.empty+a.silent > wakesCounted {
		a.sure, a.empty, a.silent = a.sure/2, a.empty/2, a.silent/2
	}
}

// doubtful is how often an answer would be taken for that of another task's call.
func (a *answers) doubtful() bool {
	return a.empty/max(1, a.sure+a.empty)*(a.silent/max(1, a.sure+a.silent)) > maxMistaken
}

// itsAnswer: the thread began the response of the task that made the call.
func itsAnswer(s *Solver, e *edge, c *Call) bool {
	return e.segment != 0 || !s.processes.of(c.Writer.Tgid).answers.doubtful()
}
