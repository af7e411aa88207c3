// Package rawspan is the contract between whatever makes raw spans and whatever links them: the
// attribute keys, their types, and the ids that both sides compute alike. It is the only thing that
// the receiver and the processor share, so a raw span from anything else that writes the same
// attributes links too. ARCHITECTURE.md section 2 is its specification.
package rawspan

import (
	"encoding/binary"
	"net/netip"

	"github.com/cespare/xxhash/v2"
)

// SchemaURL pins the semantic conventions that raw spans follow.
const SchemaURL = "https://opentelemetry.io/schemas/1.43.0"

// ScopeName is the instrumentation scope of raw spans.
const ScopeName = "github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver"

// Attribute keys of a raw span. All are optional; an absent fact has no attribute, never a zero.
const (
	AttrReqSeq         = "tcp.req_seq"
	AttrRespSeq        = "tcp.resp_seq"
	AttrSystrace       = "syscall.trace_id"
	AttrPseudoThread   = "ebpf.pseudo_thread.id"
	AttrLinkHint       = "ebpf.link.hint"
	AttrLinkConfidence = "ebpf.link.hint.confidence"
	AttrLinkClass      = "ebpf.link.hint.class"
	AttrLateOf         = "ebpf.link.late_of"
	AttrLocalAddress   = "network.local.address"
	AttrLocalPort      = "network.local.port"
	AttrPeerAddress    = "network.peer.address"
	AttrPeerPort       = "network.peer.port"
	AttrConnection     = "network.connection.id"
	AttrReqRequestID   = "http.request.header.x-request-id"
	AttrRespRequestID  = "http.response.header.x-request-id"
	AttrAppTraceID     = "ebpf.app.trace_id"
	AttrAppParentID    = "ebpf.app.parent_span_id"
	AttrAppSampled     = "ebpf.app.sampled"
	AttrPending        = "ebpf.span.pending"
	AttrCalls          = "ebpf.link.calls"
	// AttrRefused is for readers: nothing links by it.
	AttrRefused = "ebpf.link.refused"
)

// Attribute keys of spans that another producer made, whose ids have other meanings than ours: the
// compat rule of the linker reads them. None of our own spans has them.
const (
	// AttrCompatProducer names the producer; without it the others say nothing.
	AttrCompatProducer = "ebpf.compat.producer"
	// AttrCompatHost and AttrCompatProcess take the place of host.id and process.pid where a resource
	// stands for several hosts or processes.
	AttrCompatHost    = "ebpf.compat.host"
	AttrCompatProcess = "ebpf.compat.process"
	// AttrCompatRequestID and AttrCompatResponseID are the ids that the thread had at the request and
	// at the response: integers, or up to 16 hex digits.
	AttrCompatRequestID  = "ebpf.compat.id.request"
	AttrCompatResponseID = "ebpf.compat.id.response"
	// AttrCompatTap is the place where the span was captured, in DeepFlow's words: c-p, c, ..., s, s-p.
	AttrCompatTap = "ebpf.compat.tap"
)

// Attribute keys that linking adds.
const (
	AttrRule       = "ebpf.link.rule"
	AttrConfidence = "ebpf.link.confidence"
	AttrCandidates = "ebpf.link.candidates"
	AttrExplain    = "ebpf.link.explain"
	// AttrLate is on a span link, of a call to the request that it comes from and did not keep waiting.
	AttrLate = "ebpf.link.late"
	// AttrChild is on a span link, of a span to one that it is the parent of and that had left as a root when it
	// came.
	AttrChild = "ebpf.link.child"
)

// IsLinkAttr says whether key is of use for linking only. Addresses and request ids are not: they
// tell a reader something too.
func IsLinkAttr(key string) bool {
	switch key {
	case AttrReqSeq, AttrRespSeq, AttrSystrace, AttrPseudoThread, AttrLinkHint, AttrLinkConfidence,
		AttrLinkClass, AttrLateOf, AttrAppTraceID, AttrAppParentID, AttrAppSampled, AttrPending, AttrCalls,
		AttrCompatProducer, AttrCompatHost, AttrCompatProcess, AttrCompatRequestID, AttrCompatResponseID, AttrCompatTap:
		return true
	}
	return false
}

// Resource attribute keys that linking reads.
const (
	ResHostID    = "host.id"
	ResHostName  = "host.name"
	ResPID       = "process.pid"
	ResService   = "service.name"
	ResInstance  = "service.instance.id"
	ResContainer = "container.id"
	ResPod       = "k8s.pod.uid"
)

// Link holds the link attributes of one span. Zero values mean unknown.
type Link struct {
	ReqSeq, RespSeq uint32
	// Systrace is the identity of one incoming request on one host: its own on a SERVER span, on
	// a CLIENT span that of the request being served when the call was sent.
	Systrace uint64
	// PseudoThread is the execution context when it is not simply the thread.
	PseudoThread uint64
	// Hints are the kinds of evidence on the path from call to request.
	Hints []string
	// HintConfidence is that of the surest of them, 0 to 1; of a chain of calls no more than that of its end.
	HintConfidence float64
	// HintClass is what they are worth: exact, probable or statistical.
	HintClass string
	// Refused says of a call without a request why there is none, where the receiver was asked to.
	Refused []string
	// LateOf is the systrace id of the request that a call comes from which began after the response.
	LateOf        uint64
	Local, Peer   netip.AddrPort
	Connection    string
	ReqRequestID  []string
	RespRequestID []string
	AppTraceID    [16]byte
	AppParentID   [8]byte
	// AppSampled is the application's own sampling decision, meaningful when HasAppSampled.
	AppSampled, HasAppSampled bool
	// Pending: the exchange is still open. Such a span is for linking and is never forwarded.
	Pending bool
	// Calls, meaningful when HasCalls, is how many CLIENT spans carry the systrace id of a SERVER span, said
	// only where it is certain that no other call is of this request.
	Calls    int
	HasCalls bool
	// Compat is what another producer says, with its Producer empty for our own spans.
	Compat Compat
}

// Compat holds the words of another producer.
type Compat struct {
	Producer, Host, Tap   string
	Process               int64
	RequestID, ResponseID uint64
}

// Raw says whether l has a fact that only a raw span carries. Addresses and request ids are ordinary
// semantic conventions, which any SDK span may have.
func (l *Link) Raw() bool {
	return l.ReqSeq != 0 || l.RespSeq != 0 || l.Systrace != 0 || l.PseudoThread != 0 || l.LateOf != 0 ||
		len(l.Hints) > 0 || l.AppTraceID != [16]byte{} || l.AppParentID != [8]byte{} || l.HasAppSampled || l.Pending || l.HasCalls ||
		l.Compat.Producer != ""
}

// Host identifies the kernel that saw a span.
type Host struct {
	// ID is host.id.
	ID string
	// Boot is the kernel's boot id: sequence numbers and times mean nothing across a reboot.
	Boot string
}

// ServerSpanID is the id of the SERVER span of the request named by systrace: whoever carries that
// id knows the span id of its parent before the parent has ended.
func ServerSpanID(host string, systrace uint64) [8]byte {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], systrace)
	return id64("server", []byte(host), b[:])
}

// SpanID is the deterministic id of any other span: the same exchange read twice has one id.
// local and peer are the captured end's, seq is the sequence number of the request's first byte, start its time by a clock
// that reads the same each time it is asked, as the kernel's monotonic one does.
func SpanID(h Host, kind string, local, peer netip.AddrPort, seq uint32, start uint64) [8]byte {
	var b [12]byte
	binary.LittleEndian.PutUint32(b[:4], seq)
	binary.LittleEndian.PutUint64(b[4:], start)
	l, _ := local.MarshalBinary()
	p, _ := peer.MarshalBinary()
	return id64(kind, []byte(h.ID), []byte(h.Boot), l, p, b[:])
}

// RawTraceID is the trace id of a span before linking: both ends of an exchange compute the same,
// so routing by trace id brings them together.
func RawTraceID(reqSeq, respSeq uint32, fallback [8]byte) [16]byte {
	var out [16]byte
	var b [8]byte
	if reqSeq != 0 && respSeq != 0 {
		binary.LittleEndian.PutUint32(b[:4], reqSeq)
		binary.LittleEndian.PutUint32(b[4:], respSeq)
	} else {
		b = fallback
	}
	hi, lo := id64("raw-trace-hi", b[:]), id64("raw-trace-lo", b[:])
	copy(out[:8], hi[:])
	copy(out[8:], lo[:])
	return out
}

// id64 hashes parts, each with its length, under a domain. It is never zero, which OTLP forbids.
func id64(domain string, parts ...[]byte) [8]byte {
	var d xxhash.Digest
	d.Reset()
	var n [8]byte
	put := func(p []byte) {
		binary.LittleEndian.PutUint64(n[:], uint64(len(p)))
		_, _ = d.Write(n[:])
		_, _ = d.Write(p)
	}
	put([]byte(domain))
	for _, p := range parts {
		put(p)
	}
	sum := d.Sum64()
	if sum == 0 {
		sum = 1
	}
	var out [8]byte
	binary.BigEndian.PutUint64(out[:], sum)
	return out
}
