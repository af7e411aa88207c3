package causality

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"

// answers says how far a response that was begun can be believed to be that of the call before.
//
// Where the threads of a pool answer requests that others have read, a task that answers nothing (a refresh, a
// report) ends unseen, and the next one begins unseen when it was in the queue already. If that one makes no
// call, its answer looks like the end of the call before. It is not by chance that one follows the other: a
// task without a call is taken as soon as it is there. So answers without a call must be rare.
type answers struct {
	sure  float64 // threads: a response was begun after a call
	empty float64 // threads: a response was begun, by one that makes calls, without one

	// Event loops: responses begun after one response only had arrived in the round, and after several. A
	// loop that mostly reads many before it answers does so too when it happens to have read one: that may
	// be an answer that it has put off.
	one, many float64
}

const (
	// maxEmptyAnswers is a share: half of what may be wrong at all.
	maxEmptyAnswers = 0.0005
	// fewRounds of a loop, of which nothing is concluded, unless several were read before it answered mostly as often
	// as one: that is the odd one out then (c/epoll-delayed: one of 14, and wrong).
	fewRounds = 20
	mostly    = 4
)

// saw takes every edge that the kernel side reports.
func (a *answers) saw(e *event.Evidence) {
	switch {
	case e.What != answer:
		return
	case e.Segment == 0 && e.Call == 0:
		a.empty++
	case e.Segment == 0:
		a.sure++
	case e.Uses == 1 && e.BaseUses == 1:
		a.one++
	default:
		a.many++
	}
	if a.sure+a.empty > wakesCounted {
		a.sure, a.empty = a.sure/2, a.empty/2
	}
	if a.one+a.many > wakesCounted {
		a.one, a.many = a.one/2, a.many/2
	}
}

// doubtful: a thread's answer may be that of a task without a call.
func (a *answers) doubtful() bool { return a.empty > maxEmptyAnswers*(a.sure+a.empty) }

// putOff: the loops of the process answer later than they read.
func (a *answers) putOff() bool {
	return a.many > a.one && (a.one+a.many >= fewRounds || a.many >= mostly*a.one)
}

// itsAnswer: the thread began the response of the task that made the call. What a task of tokio is woken for, and
// by whom, is known better: a task that answers for many has no rounds.
var itsAnswer = rule{AnswersWithoutCalls, func(s *Solver, e *edge, c *Call) bool {
	if c.Writer.Kind == event.Tokio {
		return false
	}
	return e.segment != 0 || !s.processes.of(c.Writer.Tgid).answers.doubtful()
}}
