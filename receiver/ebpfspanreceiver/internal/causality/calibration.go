package causality

import "math"

// Calibration: the same rule is right in one program and wrong in the next, so a guess is used only in
// the processes in which it has agreed with evidence that is stronger and independent of it, on the same
// calls.
const (
	// minTrials before anything is concluded.
	minTrials = 20
	// enough is the bound that a guess must reach, and what is trusted must not fall below.
	enough = 0.98
	// maxTrials: then both numbers are halved, so that what was long ago counts less and less.
	maxTrials = 8192
	// z is that of a 95 % interval.
	z = 1.96
)

// trial is how often a guess was right.
type trial struct{ right, all uint32 }

func (t *trial) add(right bool) {
	if t.all >= maxTrials {
		t.all /= 2
		t.right /= 2
	}
	t.all++
	if right {
		t.right++
	}
}

// bounds is the Wilson score interval (Wilson 1927, equation 5 as usually cited) of the share of right
// guesses.
func (t trial) bounds() (low, high float64) {
	if t.all == 0 {
		return 0, 1
	}
	n := float64(t.all)
	p := float64(t.right) / n
	centre := p + z*z/(2*n)
	spread := z * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return (centre - spread) / (1 + z*z/n), (centre + spread) / (1 + z*z/n)
}

// proves: a guess may be used.
func (t trial) proves() bool {
	low, _ := t.bounds()
	return t.all >= minTrials && low >= enough
}

// refutes: what was trusted is not to be used any more.
func (t trial) refutes() bool {
	_, high := t.bounds()
	return t.all >= minTrials && high < enough
}

// trusted says whether edges of a sort are used in this process.
func (p *process) trusted(of sort) bool {
	switch of.trust() {
	case given:
		// What is exact by construction is not made wrong by what disagrees with it.
		return of.rank() == exact || !p.trials[of].refutes()
	case unproven:
		return p.trials[of].proves()
	}
	return false
}

// trusts says the same of an edge, which may be worth less than others of its sort. source: see kind.
func (p *process) trusts(of sort, source *trial) bool {
	return p.trusted(of) && (source == nil || source.proves())
}

// confidence of a sort in this process.
func (p *process) confidence(of sort) float64 {
	if of.trust() == given {
		return of.kind().confidence
	}
	low, _ := p.trials[of].bounds()
	return low
}
