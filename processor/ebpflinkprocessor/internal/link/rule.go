package link

// Names of the rules.
const (
	AppContext   = "app_context"
	TCPSeq       = "tcp_seq"
	Systrace     = "systrace"
	PseudoThread = "pseudo_thread"
	XRequestID   = "x_request_id"
)

// RuleNames lists the rules of the default configuration, strongest first.
func RuleNames() []string { return []string{AppContext, TCPSeq, Systrace, PseudoThread, XRequestID} }

// UnstatedConfidence is given to a probable link whose evidence states no confidence.
const UnstatedConfidence = 0.5

// rows of all rules in their default order. ARCHITECTURE.md section 4 is the table this spells out.
var rows = []row{
	sdkServerUnderWire,
	statedParent,
	callInContext,
	seqByPair,
	seqByPorts,
	seqInContext,
	serverInContext,
	callOfRequest,
	callOfContext,
	callWithRequestID,
	callWithResponseID,
	serverWithRequestID,
	serverWithResponseID,
}

// class is what the links of a rule are worth.
type class uint8

const (
	// exact: so by construction.
	exact class = iota
	// probable: usually so, of two that look alike one may be wrong.
	probable
	// statistical: by times alone.
	statistical
)

// row is one way of a rule: what a child refers to and what a parent defines. Each rule has a file
// with its rows.
type row struct {
	rule  string
	class class
	// after names a rule that goes first even where this row's rule is the stronger.
	after string
	// rare: only a fact with something beside it has a part in this row.
	rare bool
	// refers and defines return the key, or false for a span that has no part in this row.
	refers, defines func(view) (Key, bool)
	// fits compares the fields behind equal keys and whatever else contradicts.
	fits func(x *Index, child, parent view) score
	// veto withdraws the row for a child, whatever the candidates.
	veto func(x *Index, child view) bool
	// stated: the parent is the child's own statement, which time cannot contradict.
	stated bool
	// contains: the child must also end within the parent.
	contains bool
	// confidence of a link, 1 when nil.
	confidence func(child view) float32
	// graded: fits may say strong, so one that fits may yet be beaten.
	graded bool
	// most is how many definitions a key may have before none of them is believed, 0 for no limit.
	most int
	// judge has the last word on what a search found, Linked or Ambiguous.
	judge func(x *Index, child ID, r *row, k Key, found Edge) Edge
}

// score of a candidate: unfit ones do not count, of the others only the best compete.
type score uint8

const (
	unfit score = iota
	fit
	strong
)

func when(ok bool) score {
	if ok {
		return fit
	}
	return unfit
}
