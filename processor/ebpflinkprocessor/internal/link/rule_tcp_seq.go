package link

import "encoding/binary"

// This row and the next have a key each, of which the Index makes use where the number of the request alone is not enough
// (stem.go). It alone for both finds too many spans to believe any of them where connections begin at few numbers
// (few_numbers of `make accuracy-link`: recall 0.56).

// seqByPair: both ends of a connection count its bytes alike, so the sequence numbers of request and
// response are the same on the SERVER and on the CLIENT span of a call.
var seqByPair = row{
	rule:  TCPSeq,
	quota: seqQuota, numbered: domainSeqPair,
	refers: &keyed{isRaw | isServer | hasReqSeq | hasRespSeq, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Server && f.ReqSeq != 0 && f.RespSeq != 0; ok {
			k = seqPair(f.core)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isClient | hasReqSeq | hasRespSeq, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Client && f.ReqSeq != 0 && f.RespSeq != 0; ok {
			k = seqPair(f.core)
		}
		return k, ok
	}},
	fits:     func(_ *Index, c, p View) score { return connected(c.core, p.core) },
	compares: comparison{key: []field{fieldReqSeq, fieldRespSeq}, also: []field{fieldPorts, fieldClientEnd, fieldServerEnd}},
}

// seqByPorts: without a response the two ports take the place of its number.
var seqByPorts = row{
	rule:  TCPSeq,
	quota: seqQuota, numbered: domainSeqPorts,
	refers: &keyed{isRaw | isServer | hasReqSeq | hasPortsToo, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Server && hasPorts(f); ok {
			k = seqPorts(f.core, f.peerPort, f.localPort)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isClient | hasReqSeq | hasPortsToo, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Client && hasPorts(f); ok {
			k = seqPorts(f.core, f.localPort, f.peerPort)
		}
		return k, ok
	}},
	fits: func(_ *Index, c, p View) score {
		if c.localPort != p.peerPort || c.peerPort != p.localPort {
			return unfit
		}
		return connected(c.core, p.core)
	},
	compares: comparison{key: []field{fieldReqSeq, fieldPorts}, must: []field{fieldRespSeq}, also: []field{fieldClientEnd, fieldServerEnd}},
}

// seqInContext: a gateway between the ends changes the ports. Where the application's header went along
// with the request, it and the request's number make up for both.
var seqInContext = row{
	rule:  TCPSeq,
	quota: seqQuota,
	refers: &keyed{isRaw | isServer | hasReqSeq | hasParentContext, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Server && f.ReqSeq != 0 && hasContext(f); ok {
			k = seqContext(f)
		}
		return k, ok
	}},
	defines: &keyed{isRaw | isClient | hasReqSeq | hasParentContext, func(_ *Index, f View) (k Key, ok bool) {
		if ok = f.Raw && f.Role == Client && f.ReqSeq != 0 && hasContext(f); ok {
			k = seqContext(f)
		}
		return k, ok
	}},
	fits: func(_ *Index, c, p View) score {
		if c.CtxTrace != p.CtxTrace || c.CtxParent != p.CtxParent {
			return unfit
		}
		return connected(c.core, p.core)
	},
	compares: comparison{key: []field{fieldReqSeq, fieldCarried}, must: []field{fieldRespSeq}, also: []field{fieldPorts, fieldClientEnd, fieldServerEnd}},
}

func seqContext(f View) Key {
	return domainSeqContext.key(uint64(f.ReqSeq), binary.LittleEndian.Uint64(f.CtxTrace[8:]), binary.LittleEndian.Uint64(f.CtxParent[:]))
}

func hasPorts(f View) bool { return f.ReqSeq != 0 && f.localPort != 0 && f.peerPort != 0 }

func seqPair(f *core) Key { return domainSeqPair.key1(uint64(f.ReqSeq)<<32 | uint64(f.RespSeq)) }

func seqPorts(f *core, client, server uint16) Key {
	return domainSeqPorts.key1(uint64(f.ReqSeq)<<32 | uint64(client)<<16 | uint64(server))
}

// connected judges whether two ends show one connection. Sequence numbers are 32 bits, so what
// else is known must not contradict: between the same two addresses the ports are equal too, while
// different addresses may be a NAT between the ends.
func connected(server, client *core) score {
	if server.ReqSeq != client.ReqSeq {
		return unfit
	}
	if server.RespSeq != 0 && client.RespSeq != 0 && server.RespSeq != client.RespSeq {
		return unfit
	}
	near, far := ends(client.Local(), server.Peer()), ends(client.Peer(), server.Local())
	switch {
	case near == endsSame && far == endsSame:
		return strong
	case near == endsPortDiffers && far != endsUnknown && far != endsDiffer,
		far == endsPortDiffers && near == endsSame:
		return unfit
	default:
		return fit
	}
}

type endsRelation uint8

const (
	endsUnknown endsRelation = iota
	endsSame
	endsPortDiffers
	endsDiffer
)

func ends(a, b Endpoint) endsRelation {
	switch {
	case a.Addr == 0 || b.Addr == 0:
		return endsUnknown
	case a.Addr != b.Addr:
		return endsDiffer
	case a.Port != b.Port && a.Port != 0 && b.Port != 0:
		return endsPortDiffers
	default:
		return endsSame
	}
}
