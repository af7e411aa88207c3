package link

// callOfContext: request and call were handled by one execution context, a thread or a goroutine.
var callOfContext = row{
	rule:  PseudoThread,
	class: probable,
	quota: threadQuota,
	local: true,
	flat:  true,
	refers: &keyed{isRaw | isClient | ofThread, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Client && f.Host != 0 && f.Pseudo != 0; ok {
			k = domainPseudo.key2(f.Host, f.Pseudo)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isServer | ofThread, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Server && f.Host != 0 && f.Pseudo != 0; ok {
			k = domainPseudo.key2(f.Host, f.Pseudo)
		}
		return k, ok
	}},
	contains: true,
	fits: func(_ *Index, c, p View) score {
		if differentRequests(c, p) {
			return unfit
		}
		return when(c.Host == p.Host && c.Pseudo == p.Pseudo)
	},
	confidence: func(c View) float32 { return hinted(c, UnstatedConfidence) },
	compares:   comparison{key: []field{fieldHost, fieldThread}, must: []field{fieldRequest}},
}

// hinted is the confidence that the evidence on a call states, else otherwise.
func hinted(call View, otherwise float32) float32 {
	if c := call.HintConfidence(); c > 0 {
		return c
	}
	return otherwise
}

// differentRequests: two different known requests cannot be one, whatever else they share.
func differentRequests(call, request View) bool {
	return call.Systrace != 0 && request.Systrace != 0 && call.Systrace != request.Systrace
}
