package main

import (
	"fmt"
	"strconv"
	"strings"
)

// score compares what the tracer said with the truth.
type score struct {
	calls    int // made for a request, as the backend saw them
	captured int // of these, with a CLIENT raw span
	linked   int // of these, with an owner
	right    int // of these, the request
	served   int // requests with a SERVER raw span

	background   int // background calls with a CLIENT raw span
	falseParents int // of these, with an owner

	// Calls that are linked to a request which they come from, without being part of it.
	late, lateWrong int

	// Requests of which the receiver says how many calls they made, and of which that is not so.
	tallied, miscounted int

	requests int
	whole    int // requests of which every call is linked right, and no other is linked to them

	examples examples
}

func (s *score) wrong() int { return s.linked - s.right }

// abstained are the calls that were seen and of which no request was named.
func (s *score) abstained() int { return s.captured - s.linked }

// precision and recall are -1 when there is nothing to divide by.
func (s *score) precision() float64 { return share(s.right, s.linked) }
func (s *score) recall() float64    { return share(s.right, s.calls) }

func share(part, whole int) float64 {
	if whole == 0 {
		return -1
	}
	return float64(part) / float64(whole)
}

const backgroundID = "bg"

// requestOf returns the id in the path of a call, "" where there is none.
func requestOf(path string) string {
	rest, ok := strings.CutPrefix(path, "/d/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// originOf returns the id of the request that a call comes from, wherever it ends up: its own, for
// /d/bg/late-<id> that id, and "" for /d/bg/<n>, which nobody asked for. It is not known of other names.
func originOf(path string) (id string, known bool) {
	if id := requestOf(path); id != backgroundID {
		return id, true
	}
	name := strings.TrimPrefix(path, "/d/bg/")
	if id, ok := strings.CutPrefix(name, "late-"); ok {
		return id, true
	}
	_, err := strconv.Atoi(name)
	return "", err == nil
}

// judge scores the spans of a cell, with that many examples. made are the paths that the backend was asked for.
func judge(spans []span, made map[string]int, requests, explained int) score {
	s := score{requests: requests, examples: examples{limit: explained}}
	ids := map[string]owner{}   // request id → what owns its calls
	paths := map[owner]string{} // and the path of the request
	ends := map[string]int64{}  // request id → when it was answered
	for _, sp := range spans {
		if id, ok := strings.CutPrefix(sp.path, "/r/"); ok && sp.server {
			ids[id] = sp.owner
			paths[sp.owner] = sp.path
			ends[id] = sp.end
		}
	}
	s.served = len(ids)
	missing := map[string]int{} // request id → calls that are not linked right
	linked := map[string]int{}  // path → calls that are
	intruded := map[owner]bool{}
	for path, n := range made {
		if id := requestOf(path); id != backgroundID {
			s.calls += n
			missing[id] += n
		}
	}
	for _, sp := range spans {
		id := requestOf(sp.path)
		if sp.server || made[sp.path] == 0 && id != backgroundID {
			continue
		}
		owned := sp.owner != owner{}
		claimed := paths[sp.owner]
		if claimed == "" && owned {
			claimed = fmt.Sprintf("%x, of no request", sp.owner)
		}
		if sp.late != (owner{}) {
			s.late++
			if from, known := originOf(sp.path); known && (from == "" || ids[from] != sp.late) {
				s.lateWrong++
				s.examples.call(wrongLate, &sp, paths[sp.late])
			}
		}
		if id == backgroundID {
			s.background++
			// What a program means to do after the response it may do before, when the machine is busy.
			if from, _ := originOf(sp.path); owned && from != "" && ids[from] == sp.owner && sp.start <= ends[from] {
				continue
			}
			if owned {
				s.falseParents++
				s.examples.call(falseParent, &sp, claimed)
				intruded[sp.owner] = true
			}
			continue
		}
		s.captured++
		switch {
		case !owned:
			s.examples.call(noLink, &sp, "")
			continue
		case sp.owner == ids[id]:
			s.right++
			if linked[sp.path]++; linked[sp.path] <= made[sp.path] {
				missing[id]-- // a span too many does not stand for another call
			}
		default:
			s.examples.call(wrongLink, &sp, claimed)
			intruded[sp.owner] = true
		}
		s.linked++
	}
	seen := map[string]bool{}
	for _, sp := range spans {
		if !sp.server {
			seen[sp.path] = true
		}
	}
	for path := range made {
		if !seen[path] && requestOf(path) != backgroundID {
			s.examples.add(noSpan, func() string { return path })
		}
	}
	s.tally(spans, made, ends)
	for id, request := range ids {
		if missing[id] == 0 && !intruded[request] {
			s.whole++
		}
	}
	return s
}
