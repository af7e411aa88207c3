package link

import (
	"fmt"
	"strconv"
	"time"
)

// field is one fact that a row compares: what the child says of it and what a parent says, "" where
// it says nothing. Addresses, hosts and request ids are hashes here: equal when the values are.
type field struct {
	name string
	of   func(x *Index, child, parent View) (string, string)
}

// comparison is what a row compares. Explanations read it; what decides is fits.
type comparison struct {
	// key is what both must say the same of to be compared at all.
	key []field
	// must contradicts where both say something else.
	must []field
	// also speaks for a candidate when it is the same; else it may be a translation on the way.
	also []field
	// mate is the span that the child has the key in common with and that says its parent, where that is not the
	// parent itself.
	mate func(x *Index, child ID) ID
}

// own makes a field of which both sides say the same kind of thing.
func own(name string, get func(View) string) field {
	return field{name, func(_ *Index, c, p View) (string, string) { return get(c), get(p) }}
}

// owned is own of what is kept with the owner.
func owned(name string, get func(View, *owner) string) field {
	return field{name, func(x *Index, c, p View) (string, string) { return get(c, x.of(c)), get(p, x.of(p)) }}
}

var (
	fieldContext = field{"trace_context", func(_ *Index, c, p View) (string, string) {
		own := p.OwnTrace
		if p.Raw && p.Owns(c.CtxTrace) {
			own = c.CtxTrace // of a raw span's own only a hash is kept
		}
		return idsOf(c.CtxTrace, c.CtxParent), idsOf(own, p.Span)
	}}
	fieldCarried = own("trace_context", func(v View) string { return idsOf(v.CtxTrace, v.CtxParent) })
	fieldTrace   = own("ebpf.app.trace_id", func(v View) string {
		if v.CtxTrace == (TraceID{}) {
			return ""
		}
		return fmt.Sprintf("%x", v.CtxTrace[:])
	})
	fieldReqSeq  = own("tcp.req_seq", func(v View) string { return number(uint64(v.ReqSeq)) })
	fieldRespSeq = own("tcp.resp_seq", func(v View) string { return number(uint64(v.RespSeq)) })
	fieldPorts   = field{"ports", func(_ *Index, s, c View) (string, string) {
		return portsOf(s.Peer(), s.Local()), portsOf(c.Local(), c.Peer())
	}}
	fieldClientEnd = field{"client_address", func(_ *Index, s, c View) (string, string) { return s.Peer().label(), c.Local().label() }}
	fieldServerEnd = field{"server_address", func(_ *Index, s, c View) (string, string) { return s.Local().label(), c.Peer().label() }}
	fieldHost      = own("host.id", func(v View) string { return id64(v.Host) })
	fieldService   = own("service.name", func(v View) string { return id64(uint64(v.Service)) })
	fieldProcess   = own("process.pid", func(v View) string { return number(v.Process) })
	fieldRequest   = own("syscall.trace_id", func(v View) string { return id64(v.Systrace) })
	fieldThread    = own("ebpf.pseudo_thread.id", func(v View) string { return id64(v.Pseudo) })
	fieldRequestID = field{"http.request.header.x-request-id", func(_ *Index, c, p View) (string, string) {
		if c.RequestID != p.RequestID && c.RequestID == p.ResponseID {
			return id64(c.RequestID), id64(p.ResponseID)
		}
		return id64(c.RequestID), id64(p.RequestID)
	}}
	fieldResponseID = own("http.response.header.x-request-id", func(v View) string { return id64(v.ResponseID) })
	fieldReqChain   = own("thread_id_at_request", func(v View) string { return id64(v.ReqChain) })
	fieldRespChain  = own("thread_id_at_response", func(v View) string { return id64(v.RespChain) })
	fieldProducer   = own("ebpf.compat.producer", func(v View) string {
		if v.Foreign {
			return "named"
		}
		return ""
	})
	fieldSource = own("span_of", func(v View) string {
		if v.Raw {
			return "ebpf"
		}
		return "sdk"
	})
	fieldTap = own("capture_place", func(v View) string { return number(uint64(v.Tap)) })
)

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func id64(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", n)
}

func idsOf(t TraceID, s SpanID) string {
	if t == (TraceID{}) || s == (SpanID{}) {
		return ""
	}
	return fmt.Sprintf("%x-%x", t[:], s[:])
}

func portsOf(client, server Endpoint) string {
	if client.Port == 0 || server.Port == 0 {
		return ""
	}
	return fmt.Sprintf("%d>%d", client.Port, server.Port)
}

func (e Endpoint) label() string {
	if e.Addr == 0 {
		return ""
	}
	return fmt.Sprintf("%08x:%d", e.Addr, e.Port)
}

// period is when c was, in UTC.
func (c *core) period() string {
	at := func(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000000000Z") }
	if c.Pending {
		return at(c.Start) + "/.."
	}
	return at(c.Start) + "/" + at(c.End)
}
