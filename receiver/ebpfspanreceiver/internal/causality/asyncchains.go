package causality

// A chain of calls is believed once that many chains of the process could be checked, and that share of
// them was right.
const (
	minChains   = 20
	rightChains = 0.98
)

// chains says what chains of calls are worth in a process.
//
// Whether what runs after a response goes on with the same work is shown where nothing but the order of calls
// tells, and as well where an id was drawn then, that of a call which waits for a connection, say. So both are
// counted: a program that is so busy that hardly any call is sent at once would never show it else. And where they
// are wrong, so are ids that were drawn after a response.
//
// That a chain closes does not show whether a call in it was nobody's: a task of the background that waited in the
// program's own queue, and whose response let one of the request go on. But as often such a task leads to nothing.
// So it also counts what becomes of calls that others led to, by what they call; see [tails].
type chains struct {
	all, next  score
	kept       score
	operations operationScores
}

// score is how many chains could be checked, and were right.
type score struct{ right, all int }

func (c *score) add(right bool) {
	if c.all >= 10000 {
		c.right, c.all = c.right/2, c.all/2
	}
	c.all++
	if right {
		c.right++
	}
}

// operationScores are scores by what calls call, of a bounded number.
type operationScores map[uint64]score

func (o *operationScores) add(operation uint64, right bool) {
	s, known := (*o)[operation]
	if !known && len(*o) >= maxSignatures {
		return
	}
	if *o == nil {
		*o = operationScores{}
	}
	s.add(right)
	(*o)[operation] = s
}

// takeBack is the opposite of add, unless the score has faded since.
func (c *score) takeBack(right bool) {
	c.all = max(c.all-1, 0)
	if right {
		c.right--
	}
	c.right = min(max(c.right, 0), c.all)
}

// mostly: nearly all were right.
func (c *score) mostly() bool { return float64(c.right) >= rightChains*float64(c.all) }

// refuted: as many were wrong as would take many more that are right.
func (c *score) refuted() bool {
	return float64(c.all-c.right) > (1-rightChains)*maxUndecided
}

// believed: a call of that operation in a closed chain belongs to it, though only its order says so.
func (c *chains) believed(operation uint64) bool {
	return c != nil && c.all.all >= minChains && c.all.mostly() && c.next.mostly() && c.keeps(operation)
}

// keeps: calls of that operation hardly ever come to nothing. One that is rare is not known; but where operations
// cannot be told apart, since what they are called says what they are about, it is enough that none ever did.
func (c *chains) keeps(operation uint64) bool {
	s := c.operations[operation]
	if s.all >= minChains {
		return s.mostly()
	}
	return len(c.operations) >= maxSignatures && c.kept.right == c.kept.all
}

func (c *chains) refuted() bool { return c.all.refuted() || c.next.refuted() }

// disbelieved: of an id that was drawn after a response, it is not known either what it was drawn for. Chains close
// in this process, and too many were wrong, or calls of that operation come to nothing. Where requests are answered
// after something else than a call, none closes.
func (c *chains) disbelieved(operation uint64) bool {
	if c == nil || c.all.all == 0 {
		return false
	}
	s := c.operations[operation]
	return !c.all.mostly() || !s.mostly()
}

// closing is what the answer of a request has shown of the chain of calls that led to it.
type closing struct {
	tgid        uint32
	from, at    uint64 // when the chain began, and when it was answered
	right, next bool
}

// learn takes a chain that is closed. Where records were lost since it began, another may have been read as this.
func (a *asyncIDs) learn(c closing) {
	if a.lostSince(c.from) {
		return
	}
	n := a.chainsOf(c.tgid)
	n.all.add(c.right)
	if c.next {
		n.next.add(c.right)
	}
	a.closings = append(a.closings, c)
}

// lose takes back what was learned since from: that records were lost becomes known later.
func (a *asyncIDs) lose(from, to uint64) {
	a.lost = max(a.lost, to)
	for _, c := range a.closings {
		n := a.chains[c.tgid]
		if c.at < from || n == nil {
			continue
		}
		n.all.takeBack(c.right)
		if c.next {
			n.next.takeBack(c.right)
		}
	}
	a.closings = a.closings[:0]
}

func (a *asyncIDs) lostSince(start uint64) bool { return a.lost != 0 && start <= a.lost }

// following is what is to be learned of calls of an operation that follow others.
type following struct {
	chains    *chains
	operation uint64
}

// undecided implements proof.
func (f following) undecided() bool {
	s := f.chains.operations[f.operation]
	return f.chains.all.all < maxUndecided && !f.chains.refuted() && !s.refuted() && !f.chains.believed(f.operation)
}

// drawn is what is to be learned of calls whose ids were drawn after a response.
type drawn struct{ chains *chains }

// undecided implements proof.
func (d drawn) undecided() bool { return d.chains.all.all < minChains && d.chains.all.mostly() }
