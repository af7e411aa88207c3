package main

import "strings"

// tally compares how many calls a request is said to have made with those that belong to it, and with those
// that the backend got.
func (s *score) tally(spans []span, made map[string]int) {
	owned, truly := map[owner]int{}, map[string]int{}
	for path, n := range made {
		truly[requestOf(path)] += n
	}
	for _, sp := range spans {
		if !sp.server && sp.owner != (owner{}) {
			owned[sp.owner]++
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
