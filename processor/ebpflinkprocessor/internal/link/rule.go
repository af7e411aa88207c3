package link

import (
	"slices"
	"time"
)

// Names of the rules.
const (
	AppContext   = "app_context"
	SDKSameCall  = "sdk_same_call"
	TCPSeq       = "tcp_seq"
	Systrace     = "systrace"
	PseudoThread = "pseudo_thread"
	XRequestID   = "x_request_id"
	Compat       = "compat"
	Timing       = "timing"
)

// RuleNames lists the rules of the default configuration, strongest first.
func RuleNames() []string {
	return []string{AppContext, SDKSameCall, TCPSeq, Systrace, PseudoThread, XRequestID}
}

// AllRuleNames lists those that must be asked for, too.
func AllRuleNames() []string { return append(RuleNames(), Compat, Timing) }

// Statistical says whether the links of rule rest on time alone.
func Statistical(rule string) bool {
	return slices.ContainsFunc(rows, func(r row) bool { return r.rule == rule && r.class == statistical })
}

// UnstatedConfidence is given to a probable link whose evidence states no confidence.
const UnstatedConfidence = 0.5

// rows of all rules in their default order. ARCHITECTURE.md section 4 is the table this spells out.
var rows = []row{
	sdkServerUnderWire,
	statedOfProcess,
	statedOfInstance,
	statedOfPlace,
	statedParent,
	callInContext,
	seqByPair,
	seqByPorts,
	seqInContext,
	serverInContext,
	sdkRootUnderWire,
	requestOfProcess,
	requestOfInstance,
	requestOfPlace,
	clientOfProcess,
	clientOfInstance,
	clientOfPlace,
	callOfRequest,
	callOfContext,
	callWithRequestID,
	callWithResponseID,
	serverWithRequestID,
	serverWithResponseID,
	callerOfProcess,
	callerOfInstance,
	callerOfPlace,
	looseSeq,
	nextTap,
	consumed,
	chainedByRequest,
	chainedByResponse,
	onlyRequestThen,
	nearestCall,
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

// String is the class as an explanation spells it.
func (c class) String() string { return [...]string{"exact", "probable", "statistical"}[c] }

// row is one way of a rule: what a child refers to and what a parent defines. Each rule has a file
// with its rows.
type row struct {
	rule  string
	class class
	// after names rules that go first even where this row's rule is the stronger, with the rule that it goes with.
	after []string
	with  string
	// refers is how a child gets the key, defines how a parent does.
	refers, defines *keyed
	// fits compares the fields behind equal keys and whatever else but time contradicts.
	fits func(x *Index, child, parent View) score
	// objects says what else excludes a candidate, where it is more than a field that contradicts.
	objects func(x *Index, child, parent View) objection
	// veto withdraws the row for a child, whatever the candidates.
	veto func(x *Index, child View) bool
	// numbered is the domain of the keys where the number of the request is part of them, so that a stem stands for
	// them, else 0.
	numbered domain
	// local: the key names a host, so both sides are raw spans by one clock.
	local bool
	// stated: the parent is the child's own statement, which time cannot contradict.
	stated bool
	// contains: the child must also end within the parent.
	contains bool
	// limits are what else times must be like for a candidate to count (admit.go).
	limits []limit
	// slack is how much more than the clocks the times of the two may be off.
	slack time.Duration
	// displaces: the child states a parent, which gives way.
	displaces bool
	// pair is the row by which the child is found to be the same call as another span, whose parent is its own. The child
	// is not posted by what it refers to: whoever looks for it comes by way of that other span.
	pair *row
	// beside finds candidates that do not define the key, false where they are too many.
	beside func(x *Index, c View) ([]ID, bool)
	// among finds the candidates where they are not just what defines the key, in the order of their
	// start; false where there are too many to look at.
	among func(x *Index, child ID) ([]ID, bool)
	// compares names what fits looks at, for explanations.
	compares comparison
	// confidence of a link, 1 when nil.
	confidence func(child View) float32
	// flat: fits never says more than fit, so two that fit are not beaten.
	flat bool
	// quota is how many spans may share a key, or be compared (quota.go).
	quota quota
	// believed is the most definitions that a key may have for any row with the same keys. New sets it.
	believed int
	// paired: nothing comes of one side of a key alone, and as a rule only one side is there.
	paired bool
	// places: the key is where the span runs. What is at another site that may be the same counts, too.
	places bool
	// judge has the last word on what a search found, Linked or Ambiguous, and says what it has against a candidate.
	judge func(x *Index, child ID, r *row, k Key, found Edge) (Edge, objection)
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
