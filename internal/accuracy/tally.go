package main

import "strings"

// tally compares how many calls a request is said to have made with those that belong to it, and with those
// that the backend got, but for the ones that began after its response: who gives up waiting may answer before a
// call has got its connection. ends: when each request was answered.
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
		if id := requestOf(sp.path); made[sp.path] > 0 && ends[id] != 0 && sp.start > ends[id] {
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
