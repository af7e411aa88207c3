package forest

import (
	"fmt"
	"net/netip"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

// LineageConfidence is what the receiver would say of a pseudo-thread id.
const LineageConfidence = .9

func (f *Forest) serverID(s *Span) { s.ID = rawspan.ServerSpanID(s.Process.Host.Name, s.Request) }

// Traces writes spans as they travel, each process a resource.
func (f *Forest) Traces(spans []Arriving) ptrace.Traces {
	td := ptrace.NewTraces()
	type source struct {
		p   *Process
		sdk bool
	}
	at := map[source]ptrace.SpanSlice{}
	for _, a := range spans {
		src := source{a.Span.Process, a.Span.SDK}
		list, ok := at[src]
		if !ok {
			rs := td.ResourceSpans().AppendEmpty()
			attrs := rs.Resource().Attributes()
			attrs.PutStr("service.name", fmt.Sprintf("service-%d", src.p.PID))
			ss := rs.ScopeSpans().AppendEmpty()
			if !src.sdk || (f.Scenario.Words && !f.Scenario.Pods) {
				attrs.PutStr(rawspan.ResHostID, src.p.Host.Name)
				attrs.PutInt(rawspan.ResPID, int64(src.p.PID))
			}
			if f.Scenario.Pods {
				pod, container := src.p.place()
				if !src.sdk || pod%3 != 0 {
					attrs.PutStr(rawspan.ResContainer, fmt.Sprint("container-", container))
				}
				if !src.sdk || pod%3 != 1 {
					attrs.PutStr(rawspan.ResPod, fmt.Sprint("pod-", pod))
				}
			}
			if !src.sdk {
				ss.Scope().SetName(rawspan.ScopeName)
			}
			list = ss.Spans()
			at[src] = list
		}
		f.write(a, list.AppendEmpty())
	}
	return td
}

// place is the pod of p, and its container, which is all of the pod or of the process.
func (p *Process) place() (pod, container uint32) {
	if pod = p.PID / 2; pod%2 == 0 {
		return pod, p.PID
	}
	return pod, pod
}

func (f *Forest) write(a Arriving, sp ptrace.Span) {
	s := a.Span
	sp.SetSpanID(pcommon.SpanID(s.ID))
	sp.SetName("op")
	sp.SetKind([...]ptrace.SpanKind{Server: ptrace.SpanKindServer, Client: ptrace.SpanKindClient, Internal: ptrace.SpanKindInternal}[s.Kind])
	sp.SetStartTimestamp(pcommon.Timestamp(s.Seen(s.Start)))
	if !a.Pending {
		sp.SetEndTimestamp(pcommon.Timestamp(s.Seen(s.End)))
	}
	if s.Path != "" {
		sp.Attributes().PutStr("http.request.method", "GET")
		sp.Attributes().PutStr("url.path", s.Path)
		if !s.NoAnswer {
			sp.Attributes().PutInt("http.response.status_code", 200)
		}
	}
	if s.System != "" {
		sp.Attributes().PutStr("db.system.name", s.System)
	}
	if s.SDK {
		sp.SetTraceID(pcommon.TraceID(s.Trace))
		sp.SetParentSpanID(pcommon.SpanID(s.CtxParent))
		return
	}
	l := f.Link(s)
	if a.Pending {
		l.Pending, l.RespSeq, l.HasCalls, l.Calls = true, 0, false, 0
	}
	sp.SetTraceID(pcommon.TraceID(rawspan.RawTraceID(l.ReqSeq, l.RespSeq, s.ID)))
	l.Put(sp.Attributes())
}

// Link is what the receiver writes on s.
func (f *Forest) Link(s *Span) rawspan.Link {
	keys := f.Scenario.Keys
	l := rawspan.Link{}
	l.AppTraceID, l.AppParentID = s.Header()
	if keys&Seqs != 0 {
		l.ReqSeq, l.RespSeq = s.ReqSeq, s.RespSeq
	}
	if keys&Addresses != 0 {
		l.Local, l.Peer = s.Local, s.Peer
	} else {
		l.Local, l.Peer = netip.AddrPort{}, netip.AddrPort{}
	}
	if keys&(Systrace|Lineage) != 0 && (s.Kind == Server || s.Known) {
		l.Systrace = s.Request
	}
	if n := f.calls[s.Request]; f.Scenario.Counts && s.Kind == Server && !s.NoAnswer && n >= 0 {
		l.Calls, l.HasCalls = n, true
	}
	if s.ReqID != "" {
		l.ReqRequestID = []string{s.ReqID}
	}
	if s.RespID != "" {
		l.RespRequestID = []string{s.RespID}
	}
	if keys&Lineage != 0 {
		l.PseudoThread = s.Begin.Lineage
		if s.Kind == Client {
			l.Hints, l.HintConfidence, l.HintClass = []string{"same_thread"}, LineageConfidence, "exact"
		}
	}
	return l
}
