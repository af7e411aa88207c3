package main

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

// span is what the score and the baselines need of a span.
type span struct {
	path   string
	server bool
	// owner is the request that it belongs to: its own at the server end, zero when unknown.
	owner owner
	// late is the request that it comes from and began too late to be part of.
	late owner
	// thread is the kernel thread that began it, activity the goroutine or the like where there is one,
	// else the thread.
	thread, activity activity
	start, end       int64 // wall nanoseconds
	attrs            pcommon.Map
	// calls of a request, where the receiver says how many it made.
	calls    int
	hasCalls bool
}

// owner identifies a request: the systrace id of raw spans, trace and span id of finished ones.
type owner [24]byte

// activity is what executes: a process, and in it a thread (tid) or a pseudo-thread.
type activity struct {
	pid    int64
	thread int64
	pseudo string
}

// readSpans appends what td holds. ownerOf says to whom a span belongs.
func readSpans(to []span, td ptrace.Traces, ownerOf func(ptrace.Span, *rawspan.Link) owner) []span {
	for _, rs := range td.ResourceSpans().All() {
		pid := int64(0)
		if v, ok := rs.Resource().Attributes().Get("process.pid"); ok {
			pid = v.Int()
		}
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				l, _ := rawspan.ReadLink(s)
				if l.Pending {
					continue
				}
				out := span{
					path: pathOf(s.Attributes()), server: s.Kind() == ptrace.SpanKindServer, owner: ownerOf(s, &l),
					start: int64(s.StartTimestamp()), end: int64(s.EndTimestamp()), attrs: pcommon.NewMap(),
					calls: l.Calls, hasCalls: l.HasCalls,
				}
				out.late = lateOwner(s)
				if tid, ok := s.Attributes().Get("thread.id"); ok {
					out.thread = activity{pid: pid, thread: tid.Int()}
				}
				out.activity = out.thread
				if l.PseudoThread != 0 {
					out.activity = activity{pid: pid, pseudo: rawspan.FormatID(l.PseudoThread)}
				}
				s.Attributes().CopyTo(out.attrs)
				to = append(to, out)
			}
		}
	}
	return to
}

// pathOf is the path of an HTTP request, or the key of a Redis command.
func pathOf(m pcommon.Map) string {
	if v, ok := m.Get("url.path"); ok {
		return v.Str()
	}
	if v, ok := m.Get("db.query.text"); ok {
		for _, f := range strings.Fields(v.Str()) {
			if strings.HasPrefix(f, "/d/") {
				return f
			}
		}
	}
	return ""
}

// rawOwner is what the receiver says.
func rawOwner(_ ptrace.Span, l *rawspan.Link) (o owner) {
	for i := range 8 {
		o[i] = byte(l.Systrace >> (8 * i))
	}
	return o
}

// linkedOwner is what the finished trace says: the parent, in the trace of the call itself.
func linkedOwner(s ptrace.Span, _ *rawspan.Link) (o owner) {
	id := s.ParentSpanID()
	if s.Kind() == ptrace.SpanKindServer {
		id = s.SpanID()
	}
	if id.IsEmpty() {
		return o
	}
	trace := s.TraceID()
	copy(o[:], trace[:])
	copy(o[len(trace):], id[:])
	return o
}

// lateOwner is what the finished trace links a late call to.
func lateOwner(s ptrace.Span) (o owner) {
	for _, l := range s.Links().All() {
		if v, ok := l.Attributes().Get(rawspan.AttrLate); ok && v.Bool() {
			trace, id := l.TraceID(), l.SpanID()
			copy(o[:], trace[:])
			copy(o[len(trace):], id[:])
		}
	}
	return o
}
