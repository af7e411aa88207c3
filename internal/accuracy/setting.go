package main

import (
	"fmt"
	"math"
	"time"
)

// setting is what surrounds a workload in a cell: one value of each axis. Reports are saved with it.
type setting struct {
	Concurrency int     `json:"concurrency"`
	Pool        float64 `json:"pool"` // size of pools, as a share of the concurrency
	Warm        bool    `json:"warm"` // the program has served requests, on connections that stay, before it is traced
	Noise       noise   `json:"noise"`
	Guess       bool    `json:"guess"` // the statistical fallback is on, which it is not by default
	Apart       bool    `json:"apart"` // the program runs from a copy of its executable, if there can be probes in it
}

// noise is what else goes on.
type noise string

const (
	quiet noise = "none"
	hog   noise = "hog" // as many threads that compute as there are processors
	gc    noise = "gc"  // the runtime collects garbage all the time
)

// hold is how long a call waits for its request to end: no request here takes as long. defaultHold is what the
// receiver has.
const (
	hold        = time.Second
	defaultHold = 5 * time.Second
)

// hold is short where it tells nothing, since every cell waits for it at its end. But calls also wait for what shows
// that a rule is right in their process, and where requests come one by one, that takes a second.
func (s setting) hold() time.Duration {
	if s.Concurrency == 1 {
		return defaultHold
	}
	return hold
}

// quarter is the size of pools where nothing else is said: most tasks wait for a thread then.
const quarter = 0.25

// poolSize is never 1: then nothing could be confused.
func (s setting) poolSize() int { return max(2, int(math.Round(s.Pool*float64(s.Concurrency)))) }

func (s setting) attach() string {
	if s.Warm {
		return "warm"
	}
	return "cold"
}

func (s setting) String() string {
	text := fmt.Sprintf("concurrency %d, pool ×%g, %s, noise %s", s.Concurrency, s.Pool, s.attach(), s.Noise)
	if s.Guess {
		text += ", with statistical guesses"
	}
	return text
}

// meaningful says whether the setting differs, for this workload, from the others of a product of axes.
func (s setting) meaningful(w *workload) bool {
	return (w.pooled || s.Pool == quarter) && (s.Noise != gc || len(w.language.pressure) > 0)
}
