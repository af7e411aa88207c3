package main

import (
	"cmp"
	"slices"
)

// baseline is a rule of others, applied to the spans that we captured: the comparison is of rules, not
// of captures. Where a product is vague, the variant that links more was taken.
type baseline struct {
	name, what string
	// assign returns the owner of each call. Spans are in order of their start; calls is how many
	// calls a request makes, 0 when that varies.
	assign func(spans []span, calls int) []owner
}

var baselines = []baseline{
	{"same-thread", "DataKit, DeepFlow: the last request that the thread (the pseudo-thread, where there is one: " +
		"a goroutine, else the one that created it) has read, while it is open", sameThread},
	{"fifo", "the oldest open request of the process that lacks a call; it is told how many calls a request makes", fifo},
	{"vpath", "vPath: the thread that read a request works for it until it reads another", vpath},
	{"last-readable", "the last socket that the thread read: a request, or the response of a call, which passes " +
		"on what that call belongs to", lastReadable},
}

// apply gives each call the owner that the baseline finds, in a copy.
func (b baseline) apply(spans []span, calls int) []span {
	out := slices.Clone(spans)
	slices.SortStableFunc(out, func(x, y span) int { return cmp.Compare(x.start, y.start) })
	for i, o := range b.assign(out, calls) {
		if !out[i].server {
			out[i].owner = o
		}
	}
	return out
}

// sinceRead follows what was last read by whatever by names.
func sinceRead(spans []span, by func(*span) activity, valid func(request, call *span) bool) []owner {
	out := make([]owner, len(spans))
	last := map[activity]*span{}
	for i := range spans {
		s := &spans[i]
		if s.server {
			last[by(s)] = s
		} else if r := last[by(s)]; r != nil && valid(r, s) {
			out[i] = r.owner
		}
	}
	return out
}

func sameThread(spans []span, _ int) []owner {
	return sinceRead(spans, func(s *span) activity { return s.activity }, func(r, c *span) bool { return c.start <= r.end })
}

func vpath(spans []span, _ int) []owner {
	return sinceRead(spans, func(s *span) activity { return s.thread }, func(_, _ *span) bool { return true })
}

func fifo(spans []span, calls int) []owner {
	out := make([]owner, len(spans))
	type request struct {
		*span
		missing int
	}
	waiting := map[int64][]*request{} // by process, oldest first
	for i := range spans {
		s := &spans[i]
		pid := s.thread.pid
		if s.server {
			waiting[pid] = append(waiting[pid], &request{s, max(1, calls)})
			continue
		}
		waiting[pid] = slices.DeleteFunc(waiting[pid], func(r *request) bool { return r.missing == 0 || r.end < s.start })
		if open := waiting[pid]; len(open) > 0 {
			out[i] = open[0].owner
			open[0].missing--
		}
	}
	return out
}

func lastReadable(spans []span, _ int) []owner {
	// Reads of responses are in the middle of everything else: in order of time, requests and calls at
	// their start, responses at the end of their call.
	type moment struct {
		at       int64
		span     int
		response bool
	}
	var order []moment
	for i := range spans {
		order = append(order, moment{spans[i].start, i, false})
		if !spans[i].server {
			order = append(order, moment{spans[i].end, i, true})
		}
	}
	slices.SortStableFunc(order, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	out := make([]owner, len(spans))
	last := map[activity]owner{}
	for _, m := range order {
		s := &spans[m.span]
		switch {
		case s.server:
			last[s.thread] = s.owner
		case m.response:
			last[s.thread] = out[m.span]
		default:
			out[m.span] = last[s.thread]
		}
	}
	return out
}
