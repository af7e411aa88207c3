// Package causality decides which request each outgoing call belongs to, or that it is not known.
//
// The kernel side reports evidence: edges from a call to an epoch, each with its kind. Nothing is
// injected, so nothing forces a decision when the call is sent: it is made when the request has
// ended, with everything that was seen until then, also what came back. Ambiguity gives no link.
//
//	Evidence ─ ledger   (edges of each call) ─┐
//	Began, Ended ─ requests (who served when) ┼─ decide ─ release(Answer)
//	Hold ─ waiting (until nothing more comes) ┘
//	derivations (what user space concludes by itself: more edges)
//
// A kind of evidence is a row of the table kinds: its name on a span, how it ranks against evidence that
// disagrees, which side of the call it saw, what it takes to be trusted, and the rules that an edge of it
// must keep to be used at all. A rule says when such an edge would be a guess. Evidence that user space
// derives is a type that implements derivation, in a file of its own, with a field and an entry in
// NewSolver.
//
// Where records were lost only evidence counts that is right whatever else has happened, see gaps.go.
//
// Three things make a link. Evidence that is exact by construction (class exact). A rule that has named
// the same request as exact evidence of the other side, in this process, almost always (class probable,
// see calibration.go; calls that follow each other are joined in chains.go). And, only if asked for,
// times alone (class statistical, see statistical.go). The sixteen invariants that hold whatever comes
// are in invariants_test.go.
package causality
