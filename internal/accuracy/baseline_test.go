package main

import (
	"slices"
	"testing"
)

// at is a span of thread tid of process 1.
func at(server bool, id byte, tid, start, end int64) span {
	t := activity{pid: 1, thread: tid}
	return span{server: server, owner: owner{id}, thread: t, activity: t, start: start, end: end}
}

func req(id byte, tid, start, end int64) span { return at(true, id, tid, start, end) }
func out(tid, start, end int64) span          { return at(false, 0, tid, start, end) }

// in gives a span a pseudo-thread.
func in(s span, pseudo string) span {
	s.activity = activity{pid: s.thread.pid, pseudo: pseudo}
	return s
}

// What each rule of others says, in the situations that tell them apart.
func TestBaselines(t *testing.T) {
	for name, c := range map[string]struct {
		spans []span // in any order
		calls int
		want  map[string][]byte // of the calls, in order of their start
	}{
		"a thread each": {
			[]span{req(1, 1, 0, 100), req(2, 2, 10, 90), out(2, 20, 30), out(1, 40, 50)},
			1,
			map[string][]byte{"same-thread": {2, 1}, "vpath": {2, 1}, "fifo": {1, 2}, "last-readable": {2, 1}},
		},
		"a pool": { // thread 9 serves what threads 1 and 2 read
			[]span{req(1, 1, 0, 100), req(2, 2, 10, 90), out(9, 20, 30), out(9, 40, 50)},
			1,
			map[string][]byte{"same-thread": {0, 0}, "vpath": {0, 0}, "fifo": {1, 2}, "last-readable": {0, 0}},
		},
		"after the response": {
			[]span{req(1, 1, 0, 10), out(1, 20, 30)},
			1,
			map[string][]byte{"same-thread": {0}, "vpath": {1}, "fifo": {0}, "last-readable": {1}},
		},
		"a loop": { // both are read, then the first calls, and calls again when it has its answer
			[]span{req(1, 1, 0, 100), req(2, 1, 10, 90), out(1, 20, 30), out(1, 40, 50)},
			2,
			map[string][]byte{"same-thread": {2, 2}, "vpath": {2, 2}, "fifo": {1, 1}, "last-readable": {2, 2}},
		},
		"an answer in between": { // the answer of the first's call is the last that was read
			[]span{req(1, 1, 0, 100), out(1, 5, 30), req(2, 1, 10, 90), out(1, 40, 50)},
			1,
			map[string][]byte{"same-thread": {1, 2}, "vpath": {1, 2}, "fifo": {1, 2}, "last-readable": {1, 1}},
		},
		"goroutines": { // both on thread 1; the second's call is from a goroutine of its own
			[]span{
				in(req(1, 1, 0, 100), "a"), in(req(2, 1, 10, 90), "b"), in(out(1, 20, 30), "a"), in(out(1, 40, 50), "c"),
			},
			1,
			map[string][]byte{"same-thread": {1, 0}, "vpath": {2, 2}, "fifo": {1, 2}, "last-readable": {2, 2}},
		},
		"fan-out": {
			[]span{req(1, 1, 0, 100), out(7, 10, 20), out(8, 11, 20), out(9, 12, 20), out(9, 30, 40)},
			3,
			map[string][]byte{"same-thread": {0, 0, 0, 0}, "vpath": {0, 0, 0, 0}, "fifo": {1, 1, 1, 0}, "last-readable": {0, 0, 0, 0}},
		},
	} {
		for _, b := range baselines {
			var got []byte
			for _, s := range b.apply(c.spans, c.calls) {
				if !s.server {
					got = append(got, s.owner[0])
				}
			}
			if want := c.want[b.name]; !slices.Equal(got, want) {
				t.Errorf("%s: %s says %v, not %v", name, b.name, got, want)
			}
		}
	}
}

// Another process' requests are not in question.
func TestBaselinesStayInTheProcess(t *testing.T) {
	other := req(1, 1, 0, 100)
	other.thread.pid, other.activity.pid = 2, 2
	for _, b := range baselines {
		for _, s := range b.apply([]span{other, out(1, 10, 20)}, 1) {
			if !s.server && s.owner != (owner{}) {
				t.Errorf("%s crosses processes", b.name)
			}
		}
	}
}
