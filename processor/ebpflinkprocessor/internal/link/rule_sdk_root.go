package link

import "encoding/binary"

// SDKRootConfidence is given to the link of an SDK's root to the request in which it began.
const SDKRootConfidence = 0.95

// sdkRootUnderWire: an SDK begins a trace in a request that came without a header, so nothing on that
// request names the trace. The calls made while it was served do: they carry the trace's id in their
// header and the request's systrace id from the kernel. Where all of them agree, and the service is the
// same, the request that they name is the one in which the trace began.
var sdkRootUnderWire = row{
	rule: AppContext, class: probable, quota: carriedQuota,
	refers: &keyed{isSDK | isServer, func(_ *Index, f View) (k Key, ok bool) {
		if ok = beginsTrace(f); ok {
			k = ledKey(f.OwnTrace)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isClient | ofRequest | hasParentContext, func(_ *Index, f View) (k Key, ok bool) {
		if ok = witnesses(f); ok {
			k = ledKey(f.CtxTrace)
		}
		return k, ok
	}},
	among: ledBy,
	// The SDK runs where the calls were made: one clock.
	limits:     []limit{{kind: notBefore, allow: SkewTolerance}, {kind: notAfter, allow: SkewTolerance}},
	fits:       func(_ *Index, c, p View) score { return when(mayLead(p) && c.Service != 0 && c.Service == p.Service) },
	compares:   comparison{key: []field{fieldService}},
	confidence: func(View) float32 { return SDKRootConfidence },
}

func ledKey(t TraceID) Key {
	return domainLed.key(binary.LittleEndian.Uint64(t[:8]), binary.LittleEndian.Uint64(t[8:]), 0)
}

// beginsTrace: the root SERVER span of an SDK.
func beginsTrace(f View) bool {
	return !f.Raw && f.Role == Server && f.OwnTrace != TraceID{} && f.CtxParent == SpanID{}
}

// witnesses: a call with a header, made while a known request was served.
func witnesses(f View) bool {
	return f.Raw && f.Role == Client && f.Host != 0 && f.Systrace != 0 && hasContext(f)
}

// mayLead: a request that came without a header.
func mayLead(f View) bool {
	return f.Raw && f.Role == Server && f.Host != 0 && f.Systrace != 0 && f.CtxTrace == TraceID{}
}

// ledBy finds the request in which the trace of root began. It finds none where the trace has several
// roots, where calls with its header were made in several requests without one, or where the calls of the
// request carry the headers of several traces: a queue that is emptied by whoever comes by looks like that.
func ledBy(x *Index, root ID) ([]ID, bool) {
	c := x.View(root)
	if c.Service == 0 {
		return nil, true
	}
	var one, other [1]ID
	roots, crowd := x.refs.get(ledKey(c.OwnTrace), &one)
	if crowd != nil {
		return nil, false
	}
	for _, id := range roots {
		if f := x.View(id); id != root && beginsTrace(f) && f.OwnTrace == c.OwnTrace {
			return nil, true
		}
	}
	calls, crowd := x.defs.get(ledKey(c.OwnTrace), &one)
	if crowd != nil {
		return nil, false
	}
	found := None
	for _, id := range calls {
		f := x.View(id)
		if !witnesses(f) || f.CtxTrace != c.OwnTrace || f.Service != c.Service {
			continue // of those that other services make the trace was known before
		}
		r := x.Request(f.Host, f.Systrace)
		switch {
		case r == None:
			// Its request is not here, and may have been the one.
			return nil, true
		case !mayLead(x.View(r)):
			// It calls itself, with the header.
			continue
		case found != None && found != r:
			return nil, true
		}
		found = r
	}
	if found == None {
		return nil, true
	}
	p := x.View(found)
	calls, crowd = x.refs.get(domainSystrace.key2(p.Host, p.Systrace), &other)
	if crowd != nil {
		return nil, false
	}
	for _, id := range calls {
		f := x.View(id)
		if witnesses(f) && f.Host == p.Host && f.Systrace == p.Systrace && f.CtxTrace != c.OwnTrace {
			return nil, true
		}
	}
	return []ID{found}, true
}

// led calls visit for what may begin in the request p, by the headers of its calls, until it returns false.
func (x *Index) led(p View, visit func(ID) bool) (more bool) {
	var one, other [1]ID
	calls, _ := x.refs.get(domainSystrace.key2(p.Host, p.Systrace), &one)
	last := TraceID{}
	for _, id := range calls {
		f := x.View(id)
		if !witnesses(f) || f.CtxTrace == last {
			continue
		}
		last = f.CtxTrace
		roots, _ := x.refs.get(ledKey(last), &other)
		for _, r := range roots {
			if !visit(r) {
				return false
			}
		}
	}
	return true
}
