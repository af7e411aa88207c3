package ebpflinkprocessor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
)

// ofProcess puts specs, all of one host, into a process.
func ofProcess(pid int64, specs ...spanSpec) ptrace.Traces {
	td := batchOf(specs...)
	td.ResourceSpans().At(0).Resource().Attributes().PutInt(rawspan.ResPID, pid)
	return td
}

// TestRulesByWhatTheyRead sends a request (1) and a call (2) within it.
func TestRulesByWhatTheyRead(t *testing.T) {
	id := "7b1c9a3e-0f51-4c53-9f0e-4f1f7f3f0c11"
	none := func(*rawspan.Link) {}
	words := func(c rawspan.Compat) func(*rawspan.Link) {
		c.Producer = "p"
		return func(l *rawspan.Link) { l.Compat = c }
	}
	for _, tt := range []struct {
		name          string
		rules         []string
		request, call func(*rawspan.Link)
		// pid is of the call; the request's is 7.
		pid  int64
		want string
	}{
		{
			"x-request-id", nil,
			func(l *rawspan.Link) { l.ReqRequestID = []string{id} },
			func(l *rawspan.Link) { l.ReqRequestID = []string{id} }, 7, link.XRequestID,
		},
		{
			"x-request-id of the response", nil,
			func(l *rawspan.Link) { l.RespRequestID = []string{id} },
			func(l *rawspan.Link) { l.ReqRequestID = []string{id} }, 7, link.XRequestID,
		},
		{
			"x-request-id of another process", nil,
			func(l *rawspan.Link) { l.ReqRequestID = []string{id} },
			func(l *rawspan.Link) { l.ReqRequestID = []string{id} }, 8, "",
		},
		{
			"two headers", nil,
			func(l *rawspan.Link) { l.ReqRequestID = []string{id} },
			func(l *rawspan.Link) { l.ReqRequestID = []string{id, "another one"} }, 7, "",
		},
		{"nothing", nil, none, none, 7, ""},
		{"timing", []string{link.TCPSeq, link.Timing}, none, none, 7, link.Timing},
		{"timing of another process", []string{link.TCPSeq, link.Timing}, none, none, 8, ""},
		{"compat", []string{link.Compat}, words(rawspan.Compat{RequestID: 5}), words(rawspan.Compat{RequestID: 5}), 7, link.Compat},
		{"compat not asked for", nil, words(rawspan.Compat{RequestID: 5}), words(rawspan.Compat{RequestID: 5}), 7, ""},
		{"compat, idle thread", []string{link.Compat}, words(rawspan.Compat{RequestID: 5, ResponseID: 5}), words(rawspan.Compat{RequestID: 5}), 7, ""},
		{"compat, process by its attribute", []string{link.Compat}, words(rawspan.Compat{RequestID: 5}), words(rawspan.Compat{RequestID: 5, Process: 7}), 8, link.Compat},
		{"compat, another host by its attribute", []string{link.Compat}, words(rawspan.Compat{RequestID: 5}), words(rawspan.Compat{RequestID: 5, Host: "b"}), 7, ""},
		{"compat, on the wire is no request", []string{link.Compat}, words(rawspan.Compat{RequestID: 5, Tap: "s"}), words(rawspan.Compat{RequestID: 5}), 7, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(c *Config) {
				if tt.rules != nil {
					c.Rules = tt.rules
				}
			})
			request := spanSpec{id: 1, host: "a", kind: ptrace.SpanKindServer, duration: 100, link: rawspan.Link{ReqSeq: 1}}
			call := spanSpec{id: 2, host: "a", kind: ptrace.SpanKindClient, start: 10, duration: 20, link: rawspan.Link{ReqSeq: 2}}
			tt.request(&request.link)
			tt.call(&call.link)
			require.NoError(t, r.ConsumeTraces(t.Context(), ofProcess(tt.pid, call)))
			require.NoError(t, r.ConsumeTraces(t.Context(), ofProcess(7, request)))
			r.pass(20 * time.Second)
			sp := r.sink.one(t, 2)
			rule, _ := sp.Attributes().Get(rawspan.AttrRule)
			if tt.want == "" {
				require.Zero(t, parentOf(sp))
				return
			}
			require.Equal(t, tt.want, rule.Str())
			require.EqualValues(t, 1, parentOf(sp))
			require.Equal(t, r.sink.one(t, 1).TraceID(), sp.TraceID())
			require.EqualValues(t, 1, r.metric("spans_linked", tt.want))
		})
	}
}

// TestCompatWordsAreLinkAttributes: they go with the others when those are not kept, and say nothing
// without the name of their producer.
func TestCompatWordsAreLinkAttributes(t *testing.T) {
	r := newRig(t, func(c *Config) { c.KeepLinkAttrs = false })
	r.consume(spanSpec{id: 1, host: "a", kind: ptrace.SpanKindServer, duration: 5, link: rawspan.Link{
		Compat: rawspan.Compat{Producer: "p", Host: "h", Tap: "s-p", Process: 1, RequestID: 2, ResponseID: 3},
	}})
	td := batchOf(spanSpec{id: 2, host: "a", kind: ptrace.SpanKindServer, duration: 5})
	eachSpan(td)[0].Attributes().PutInt(rawspan.AttrCompatRequestID, 5)
	require.NoError(t, r.ConsumeTraces(t.Context(), td))
	r.pass(20 * time.Second)
	require.Zero(t, r.sink.one(t, 1).Attributes().Len())
	require.EqualValues(t, 1, r.metric("attributes_malformed", ""))
}
