//go:build linux

package ebpfspanreceiver

import (
	"encoding/binary"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/protocol"
)

// spanWriter turns exchanges into raw spans.
type spanWriter struct {
	host  rawspan.Host
	clock *event.Clock
}

// origin is what is known of an exchange beyond its bytes.
type origin struct {
	// owner is what became of a call; nil at the server end.
	owner *causality.Answer
	// lineage is the execution context when it is not simply the thread, or 0.
	lineage uint64
	// calls is what became of the count of a request's calls; nil: it is not over.
	calls *causality.Count
}

// count is how many calls the request made, if that is known.
func (o *origin) count() (calls int, known bool) {
	if o.calls == nil || o.calls.Fate != causality.Counted {
		return 0, false
	}
	return o.calls.Calls, true
}

// write appends the raw span of x.
func (w *spanWriter) write(spans ptrace.SpanSlice, x *exchange.Exchange, from origin) {
	owner := from.owner
	s := spans.AppendEmpty()
	start := w.clock.Wall(x.Start)
	s.SetStartTimestamp(pcommon.Timestamp(start))
	s.SetEndTimestamp(pcommon.Timestamp(w.clock.Wall(x.End)))
	s.SetName(x.Request.Name)

	l := rawspan.Link{
		ReqSeq: x.ReqSeq, RespSeq: x.RespSeq, PseudoThread: from.lineage,
		Local: x.Local, Peer: x.Peer, Connection: rawspan.FormatID(x.Conn),
		AppTraceID: x.Request.Context.TraceID, AppParentID: x.Request.Context.ParentID,
		AppSampled: x.Request.Context.Sampled, HasAppSampled: x.Request.Context.HasSampled,
		ReqRequestID: one(x.Request.RequestID), Pending: x.Pending,
	}
	if !x.Request.Context.Valid() {
		l.AppTraceID, l.AppParentID, l.HasAppSampled = [16]byte{}, [8]byte{}, false
	}
	if x.Response != nil {
		l.RespRequestID = one(x.Response.RequestID)
	}
	var id [8]byte
	if x.Server {
		s.SetKind(ptrace.SpanKindServer)
		l.Systrace = x.Epoch
		l.Calls, l.HasCalls = from.count()
		id = rawspan.ServerSpanID(w.host.ID, x.Epoch)
	} else {
		s.SetKind(ptrace.SpanKindClient)
		switch {
		case owner == nil:
		case owner.Outcome == causality.Linked:
			l.Systrace, l.Hints, l.HintConfidence = owner.Request, owner.Hints, owner.Confidence
			l.HintClass = causality.Classes[owner.Class]
		case owner.Outcome == causality.Late, owner.Outcome == causality.Uncounted:
			l.LateOf = owner.Request
		default:
			l.Refused = owner.Refused
		}
		// The kernel's time, not the wall's: it is the same each time it is converted.
		id = rawspan.SpanID(w.host, "client", x.Local, x.Peer, x.ReqSeq, x.Start)
	}
	s.SetSpanID(id)
	s.SetTraceID(rawspan.RawTraceID(x.ReqSeq, x.RespSeq, id))

	attrs := s.Attributes()
	attrs.EnsureCapacity(len(x.Request.Attributes) + 16)
	w.describe(attrs, x)
	l.Put(attrs)
	w.status(s, x)
}

// describe writes the semantic-convention attributes of the protocol and of the two ends.
func (w *spanWriter) describe(attrs pcommon.Map, x *exchange.Exchange) {
	attrs.PutStr("network.transport", "tcp")
	if x.Peer.Addr().Is4() {
		attrs.PutStr("network.type", "ipv4")
	} else {
		attrs.PutStr("network.type", "ipv6")
	}
	attrs.PutStr("network.protocol.name", x.Protocol.Name)
	put(attrs, x.Request.Attributes)
	if x.Response != nil {
		put(attrs, x.Response.Attributes)
	}
	if _, named := attrs.Get("server.address"); !named {
		server := x.Peer
		if x.Server {
			server = x.Local
		}
		attrs.PutStr("server.address", server.Addr().String())
		attrs.PutInt("server.port", int64(server.Port()))
	}
	if x.Server {
		attrs.PutStr("client.address", x.Peer.Addr().String())
		attrs.PutInt("client.port", int64(x.Peer.Port()))
	}
	if x.Tid != 0 {
		attrs.PutInt("thread.id", int64(x.Tid))
	}
	if x.ContextKind == event.Goroutine {
		attrs.PutInt("go.goroutine.id", int64(x.Context))
	}
}

// status follows the semantic conventions: what the caller did wrong is an error at the caller only.
func (w *spanWriter) status(s ptrace.Span, x *exchange.Exchange) {
	fail := func(kind, text string) {
		s.Status().SetCode(ptrace.StatusCodeError)
		s.Status().SetMessage(text)
		if _, known := s.Attributes().Get("error.type"); !known {
			s.Attributes().PutStr("error.type", kind)
		}
	}
	switch {
	case x.Pending, x.Outcome == exchange.NotOwed:
	case x.Outcome == exchange.Broken:
		fail("connection_closed", "the connection ended before the response was complete")
	case x.Outcome == exchange.Lost:
		s.Attributes().PutBool("ebpf.response.lost", true)
	case x.Response == nil:
	case x.Response.Fault == protocol.ServerFault,
		x.Response.Fault == protocol.CallerFault && !x.Server:
		fail("_OTHER", x.Response.FaultText)
	default:
		s.Attributes().Remove("error.type")
	}
}

func put(attrs pcommon.Map, list []protocol.Attr) {
	for _, a := range list {
		if a.IsInt {
			attrs.PutInt(a.Key, a.Int)
		} else {
			attrs.PutStr(a.Key, a.Str)
		}
	}
}

func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// putResource writes the resource of a process.
func putResource(r pcommon.Resource, p *process.Process) {
	for _, a := range p.Attributes() {
		if a.IsInt {
			r.Attributes().PutInt(a.Key, a.Int)
		} else {
			r.Attributes().PutStr(a.Key, a.Str)
		}
	}
}

// lineageID names an execution context on this boot of this host: its id is never used twice in a
// process, and a process is its id and its start.
func lineageID(p *process.Process, context uint64) uint64 {
	if context == 0 {
		return 0
	}
	b := make([]byte, 0, 64)
	b = strconv.AppendInt(b, int64(p.PID), 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, p.Start, 10)
	b = binary.LittleEndian.AppendUint64(b, context)
	return xxhash.Sum64(b)
}
