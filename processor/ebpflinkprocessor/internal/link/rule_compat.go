package link

import (
	"cmp"
	"slices"
	"time"
)

// The compat rule accepts what DataKit's and DeepFlow's agents mean by their ids, for their spans only:
// both child and parent must say that they are such. README.md has the transform that maps them.
const (
	// ConsumedConfidence is given to a link by ids that the next call of a thread takes, whatever
	// request it is for.
	ConsumedConfidence = 0.5
	// WireConfidence is given to a link by sequence numbers whose times are off.
	WireConfidence = 0.9

	// decodedLate is how late DataKit's start times may be: it reads the clock when it decodes, its
	// kernel side hands over every 5 s.
	decodedLate = 6 * time.Second
	// wireLate is how far the times of one call may be apart at different places of capture, 50 ms
	// for the way and 10 ms for the clocks.
	wireLate = 60 * time.Millisecond
)

// looseSeq: sequence numbers, though the times of the two ends contradict.
var looseSeq = row{
	rule: Compat, class: probable, quota: looseSeqQuota, numbered: domainSeqPair,
	veto: func(_ *Index, c View) bool { return !c.Foreign },
	refers: &keyed{isRaw | isServer | hasBeside | hasReqSeq | hasRespSeq, func(x *Index, f View) (k Key, ok bool) {
		if !f.Foreign {
			return k, false
		}
		return seqByPair.refers.key(x, f)
	}},
	defines: &keyed{isRaw | isClient | hasBeside, func(x *Index, f View) (k Key, ok bool) {
		if !f.Foreign {
			return k, false
		}
		return seqByPair.defines.key(x, f)
	}},
	fits: func(x *Index, c, p View) score {
		return seqByPair.fits(x, c, p)
	},
	objects: func(_ *Index, _, p View) objection {
		if !p.Foreign {
			return objection{fact: &fieldProducer}
		}
		return objection{}
	},
	slack:      decodedLate,
	confidence: func(View) float32 { return WireConfidence },
	compares:   comparison{key: []field{fieldReqSeq, fieldRespSeq}, also: []field{fieldPorts, fieldClientEnd, fieldServerEnd}},
}

// nextTap: one call captured at several places, each under the nearest before it.
var nextTap = row{
	rule: Compat, class: probable, quota: tapQuota,
	refers: &keyed{isRaw | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = tapped(f) && f.Tap > TapClientProcess; ok {
			k = tapKey(f)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = tapped(f) && f.Tap < TapServerProcess; ok {
			k = tapKey(f)
		}
		return k, ok
	}},
	fits: func(_ *Index, c, p View) score {
		if c.ReqSeq != p.ReqSeq || c.RespSeq != p.RespSeq {
			return unfit
		}
		return fit + score(p.Tap)
	},
	objects: func(_ *Index, c, p View) objection {
		if p.Tap >= c.Tap {
			return objection{fact: &fieldTap}
		}
		return objection{}
	},
	slack:      wireLate,
	confidence: func(View) float32 { return WireConfidence },
	compares:   comparison{key: []field{fieldReqSeq, fieldRespSeq}, also: []field{fieldTap}},
}

// consumed: each call of a thread carries the id of the request that the thread read last.
var consumed = row{
	rule: Compat, class: probable, quota: tapQuota,
	refers: &keyed{isRaw | isClient | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = chains(f, Client) && f.ReqChain != 0; ok {
			k = chainKey(f, f.ReqChain)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isServer | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = chains(f, Server) && f.ReqChain != 0; ok {
			k = chainKey(f, f.ReqChain)
		}
		return k, ok
	}},
	fits: func(_ *Index, c, p View) score {
		return when(c.ReqChain == p.ReqChain && mayShare(c, p))
	},
	objects: func(_ *Index, c, p View) objection {
		if c.RespChain != 0 || p.RespChain != 0 {
			return objection{fact: &fieldRespChain}
		}
		return objection{}
	},
	slack:      decodedLate,
	confidence: func(View) float32 { return ConsumedConfidence },
	compares:   comparison{key: []field{fieldHost, fieldReqChain}, must: []field{fieldRespChain, fieldProcess}},
}

// chainedByRequest: the id of a request goes to the first call, that call's answer makes the id of the
// next, and the response takes that of the last answer.
var chainedByRequest = row{
	rule: Compat, class: probable, quota: chainQuota,
	refers:     consumed.refers,
	defines:    consumed.defines,
	fits:       func(_ *Index, c, p View) score { return when(mayShare(c, p)) },
	among:      (*Index).chain,
	confidence: consumed.confidence,
	compares:   comparison{key: []field{fieldHost}, must: []field{fieldProcess}, also: []field{fieldReqChain, fieldRespChain}},
}

// chainedByResponse is for calls of which only the end of the chain is known.
var chainedByResponse = row{
	rule: Compat, class: probable, quota: chainQuota,
	refers: &keyed{isRaw | isClient | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = chains(f, Client) && f.RespChain != 0; ok {
			k = chainKey(f, f.RespChain)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isServer | hasBeside, func(_ *Index, f View) (k Key, ok bool) {
		if ok = chains(f, Server) && f.RespChain != 0; ok {
			k = chainKey(f, f.RespChain)
		}
		return k, ok
	}},
	fits:       chainedByRequest.fits,
	veto:       func(_ *Index, c View) bool { return c.ReqChain != 0 },
	among:      (*Index).chain,
	confidence: consumed.confidence,
	compares:   comparison{key: []field{fieldHost}, must: []field{fieldProcess}, also: []field{fieldReqChain, fieldRespChain}},
}

func tapKey(f View) Key { return domainTap.key(uint64(f.ReqSeq), uint64(f.RespSeq), 0) }

func tapped(f View) bool {
	return f.Foreign && f.Raw && f.Tap != 0 && f.ReqSeq != 0 && f.RespSeq != 0
}

func chainKey(f View, id uint64) Key { return domainChain.key(f.Host, id, 0) }

func chains(f View, r Role) bool { return f.Foreign && f.Raw && f.Role == r && f.Host != 0 }

// mayShare: ids are of threads, and a thread is of one process.
func mayShare(call, request View) bool {
	return call.Host == request.Host && (call.Process == 0 || request.Process == 0 || call.Process == request.Process)
}

// chain lists the requests that the ids of call lead to, in the order of their start: directly, else by
// way of other calls. It returns false where that is too long a way.
func (x *Index) chain(call ID) ([]ID, bool) {
	c, longest := x.View(call), x.rations[chainQuota].few
	var direct []ID
	var one [1]ID
	for _, id := range [...]uint64{c.ReqChain, c.RespChain} {
		if id == 0 {
			continue
		}
		list, all := x.defs.upTo(chainKey(c, id), longest, &one)
		if !all {
			return nil, false
		}
		for _, s := range list {
			f := x.View(s)
			same := (c.ReqChain != 0 && c.ReqChain == f.ReqChain) || (c.RespChain != 0 && c.RespChain == f.RespChain)
			if same && f.Host == c.Host && !slices.Contains(direct, s) {
				if direct = append(direct, s); len(direct) > longest {
					return nil, false
				}
			}
		}
	}
	if len(direct) == 0 {
		var whole bool
		if direct, _, whole = x.connectedBy(c); !whole {
			return nil, false
		}
	}
	slices.SortFunc(direct, func(a, b ID) int {
		return cmp.Or(cmp.Compare(x.core(a).Start, x.core(b).Start), cmp.Compare(a, b))
	})
	return direct, true
}

// chained calls fn for the calls that the ids of request lead to, by way of others, until fn returns
// false: those whose keys it does not define.
func (x *Index) chained(request View, fn func(ID) bool) (more bool) {
	_, calls, _ := x.connectedBy(request)
	for _, id := range calls {
		if !fn(id) {
			return false
		}
	}
	return true
}

// connectedBy collects the requests and calls that the ids of f connect, false when there are too many.
func (x *Index) connectedBy(f View) (requests, calls []ID, whole bool) {
	longest := x.rations[chainQuota].few
	met := map[uint64]bool{0: true}
	var open []uint64
	reach := func(v View) {
		for _, id := range [...]uint64{v.ReqChain, v.RespChain} {
			if !met[id] {
				met[id] = true
				open = append(open, id)
			}
		}
	}
	reach(f)
	seen := map[ID]bool{}
	var one [1]ID
	for len(open) > 0 {
		id := open[len(open)-1]
		open = open[:len(open)-1]
		take := func(in *postings, into *[]ID) bool {
			list, all := in.upTo(chainKey(f, id), longest, &one)
			if !all {
				return false
			}
			for _, n := range list {
				v := x.View(n)
				if seen[n] || v.Host != f.Host || (v.ReqChain != id && v.RespChain != id) {
					continue
				}
				if seen[n] = true; len(seen) > longest {
					return false
				}
				*into = append(*into, n)
				reach(v)
			}
			return true
		}
		if !take(&x.defs, &requests) || !take(&x.refs, &calls) {
			return nil, nil, false
		}
	}
	return requests, calls, true
}
