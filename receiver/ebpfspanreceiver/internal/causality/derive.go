package causality

// derivation finds evidence in user space: what the kernel side tells of execution contexts, and which
// of them answered which request, together say more than either. It is used by the solver's goroutine.
type derivation interface {
	// answered: the response of a request was sent, by r.answerer. turn is the kernel's epoch.
	answered(turn uint64, r *served)
	// edges appends what it knows of a call to those that the kernel side reported. It is asked again and
	// again while the call waits.
	edges(to []edge, c *Call) []edge
	// forget drops what is too old to be asked for: calls that ended before are decided.
	forget(before uint64)
}
