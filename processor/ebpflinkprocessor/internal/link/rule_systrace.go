package link

// callOfRequest: a call carries the identity of the request that was being served when it was sent.
var callOfRequest = row{
	rule:  Systrace,
	local: true,
	quota: requestQuota,
	flat:  true,
	refers: &keyed{isRaw | isClient | ofRequest, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Client && f.Host != 0 && f.Systrace != 0; ok {
			k = domainSystrace.key2(f.Host, f.Systrace)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isServer | ofRequest, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Server && f.Host != 0 && f.Systrace != 0; ok {
			k = domainSystrace.key2(f.Host, f.Systrace)
		}
		return k, ok
	}},
	fits: func(_ *Index, c, p View) score { return when(c.Host == p.Host && c.Systrace == p.Systrace) },
	// The join is exact; how the call came to carry that id is as sure as its evidence.
	confidence: func(c View) float32 { return hinted(c, 1) },
	compares:   comparison{key: []field{fieldHost, fieldRequest}},
}
