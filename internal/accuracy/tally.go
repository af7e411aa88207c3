package main

import "strings"

// tally compares how many calls a request is said to have made with those that belong to it, and with those
// that the backend got. ends is when each was answered: what was sent afterwards (a timeout answers, while the
// connection for the call is still being made) is none of its calls.
func (s *score) tally(spans []span, made map[string]int, ends map[string]int64) {
	owned, truly := map[owner]int{}, map[string]int{}
	for path, n := range made {
		truly[requestOf(path)] += n
	}
	for _, sp := range spans {
		if sp.server {
			continue
		}
		if sp.owner != (owner{}) {
			owned[sp.owner]++
		}
		id := requestOf(sp.path)
		if end, answered := ends[id]; answered && sp.start > end {
			truly[id]--
		}
	}
	for _, sp := range spans {
		if !sp.server || !sp.hasCalls {
			continue
		}
		s.tallied++
		id, _ := strings.CutPrefix(sp.path, "/r/")
		if sp.calls != owned[sp.owner] || sp.calls < truly[id] {
			s.miscounted++
		}
	}
}
