package link

import "math"

// Limits bound what a search looks at.
type Limits struct {
	// Candidates is how many definitions one reference looks at, 1 to MaxCandidates.
	Candidates int
	// Rules are the limits of rules by name, 1 to MaxCandidates. The others have their own (quotas).
	Rules map[string]int
}

// quota names a limit of a rule. A rule whose rows go by keys of different kinds has several; the configuration gives all of
// them one number.
type quota uint8

const (
	// noQuota: Limits.Candidates alone.
	noQuota quota = iota
	namedQuota
	carriedQuota
	sameCallQuota
	seqQuota
	requestQuota
	threadQuota
	requestIDQuota
	looseSeqQuota
	tapQuota
	chainQuota
	busyQuota
	nearestQuota
	pastQuotas
)

// unique is how many definitions a key may have that names one thing: what defines it more often, retries and captures at
// several places included, was made up.
const unique = crowdFrom - 1

// maxSharers is how many spans of one side may carry one id. A request that is sent on to 64 services,
// each with retries, stays below; what more spans share is a constant and names no request.
const maxSharers = 1024

// maxSameCall is how many spans of a process are compared with one. More at once are not told apart.
const maxSameCall = 512

// maxChain bounds the spans that the ids of one request connect.
const maxChain = 1024

// quotas of all rules, as README.md has them.
var quotas = [pastQuotas]struct {
	rule string
	// most is how many definitions a key may have before none of them is believed, where that is limited. Else
	// few is how many are compared with one reference, at its time; 0: as many as with any.
	most, few int
}{
	namedQuota:     {rule: AppContext, most: unique},
	carriedQuota:   {rule: AppContext},
	sameCallQuota:  {rule: SDKSameCall, few: maxSameCall},
	seqQuota:       {rule: TCPSeq, most: unique},
	requestQuota:   {rule: Systrace, most: unique},
	threadQuota:    {rule: PseudoThread},
	requestIDQuota: {rule: XRequestID, most: maxSharers},
	looseSeqQuota:  {rule: Compat, most: unique},
	tapQuota:       {rule: Compat},
	chainQuota:     {rule: Compat, few: maxChain},
	busyQuota:      {rule: Timing},
	nearestQuota:   {rule: Timing, most: unique},
}

// ration is what a quota comes to in one Index.
type ration struct {
	most, few int
	// least is the less of the two, which nearly all keys are below.
	least int
	// told is how many candidates the clocks may tell apart where nothing else does.
	told int
}

// rations is the one place where the configuration meets the limits of rules.
func (l Limits) rations() (out [pastQuotas]ration) {
	for q, own := range quotas {
		most, few := own.most, own.few
		if n := l.Rules[own.rule]; n > 0 && most > 0 {
			most = n
		} else if n > 0 {
			few = n
		}
		if few == 0 {
			few = l.Candidates
		}
		told := most
		if most == 0 {
			most, told = math.MaxInt, unique
		}
		few = min(few, l.Candidates)
		out[q] = ration{most: most, few: few, least: min(most, few), told: told}
	}
	return out
}
