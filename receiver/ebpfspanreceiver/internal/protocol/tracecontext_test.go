package protocol

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func contextOf(headers []string) TraceContext {
	var p propagation
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ": ")
		if ok {
			p.add([]byte(name), []byte(value))
		}
	}
	return p.context()
}

func traceparent(c TraceContext) string {
	flags := 0
	if c.Sampled {
		flags = 1
	}
	return fmt.Sprintf("00-%x-%x-%02x", c.TraceID, c.ParentID, flags)
}

func sw8(parts ...string) string {
	for _, i := range []int{1, 2, 4, 5, 6, 7} {
		parts[i] = base64.StdEncoding.EncodeToString([]byte(parts[i]))
	}
	return "sw8: " + strings.Join(parts, "-")
}

const (
	trace = "0af7651916cd43dd8448eb211c80319c"
	span  = "b7ad6b7169203331"
)

var contextCases = []struct {
	name    string
	headers []string
	want    string // trace/span, then + sampled, - not, ? unsaid, then the state
}{
	{"none", nil, ""},
	{"w3c", []string{"traceparent: 00-" + trace + "-" + span + "-01"}, trace + "/" + span + "+"},
	{"w3c not sampled, any case of name", []string{"TraceParent: 00-" + trace + "-" + span + "-02", "TraceState: k=v"}, trace + "/" + span + "-k=v"},
	{"w3c state in two headers", []string{"traceparent: 00-" + trace + "-" + span + "-00", "tracestate: a=1", "tracestate: b=2"}, trace + "/" + span + "-a=1,b=2"},
	{"w3c state too long", []string{"traceparent: 00-" + trace + "-" + span + "-00", "tracestate: a=" + strings.Repeat("x", 600)}, trace + "/" + span + "-"},
	{"w3c later version", []string{"traceparent: 01-" + trace + "-" + span + "-01-more"}, trace + "/" + span + "+"},
	{"w3c version 0 with more", []string{"traceparent: 00-" + trace + "-" + span + "-01-more"}, ""},
	{"w3c later version run on", []string{"traceparent: 01-" + trace + "-" + span + "-01more"}, ""},
	{"w3c version ff", []string{"traceparent: ff-" + trace + "-" + span + "-01"}, ""},
	{"w3c upper case", []string{"traceparent: 00-" + strings.ToUpper(trace) + "-" + span + "-01"}, ""},
	{"w3c zero trace", []string{"traceparent: 00-00000000000000000000000000000000-" + span + "-01"}, ""},
	{"w3c zero span", []string{"traceparent: 00-" + trace + "-0000000000000000-01"}, ""},
	{"w3c twice", []string{"traceparent: 00-" + trace + "-" + span + "-01", "traceparent: 00-" + trace + "-" + span + "-01"}, ""},
	{"w3c short", []string{"traceparent: 00-" + trace + "-" + span}, ""},
	{"w3c no hex", []string{"traceparent: 00-" + trace[:31] + "g-" + span + "-01"}, ""},
	{"w3c before b3", []string{"b3: 1111111111111111-2222222222222222-0", "traceparent: 00-" + trace + "-" + span + "-01"}, trace + "/" + span + "+"},
	{"w3c invalid, so b3", []string{"traceparent: 00-x", "b3: " + trace + "-" + span + "-d"}, trace + "/" + span + "+"},
	{"b3 with 64 bits", []string{"b3: " + trace[16:] + "-" + span + "-0-" + span}, "0000000000000000" + trace[16:] + "/" + span + "-"},
	{"b3 without decision", []string{"b3: " + trace + "-" + span}, trace + "/" + span + "?"},
	{"b3 decision alone", []string{"b3: 0"}, ""},
	{"b3 short span", []string{"b3: " + trace + "-" + span[1:]}, ""},
	{"b3 multi", []string{"X-B3-TraceId: " + trace, "X-B3-SpanId: " + span, "X-B3-Sampled: 1"}, trace + "/" + span + "+"},
	{"b3 multi debug", []string{"X-B3-TraceId: " + trace, "X-B3-SpanId: " + span, "X-B3-Flags: 1"}, trace + "/" + span + "+"},
	{"b3 multi false", []string{"X-B3-TraceId: " + trace, "X-B3-SpanId: " + span, "X-B3-Sampled: false"}, trace + "/" + span + "-"},
	{"b3 multi half", []string{"X-B3-TraceId: " + trace, "X-B3-Sampled: 1"}, ""},
	{"jaeger", []string{"uber-trace-id: " + trace + ":" + span + ":0:1"}, trace + "/" + span + "+"},
	{"jaeger short", []string{"uber-trace-id: abc:12:0:0"}, "00000000000000000000000000000abc/0000000000000012-"},
	{"jaeger encoded", []string{"uber-trace-id: " + trace + "%3A" + span + "%3a0%3A3"}, trace + "/" + span + "+"},
	{"jaeger three fields", []string{"uber-trace-id: abc:12:0"}, ""},
	{"jaeger five fields", []string{"uber-trace-id: abc:12:0:1:1"}, ""},
	{"jaeger too long", []string{"uber-trace-id: 1" + trace + ":12:0:1"}, ""},
	{"jaeger zero", []string{"uber-trace-id: 0:12:0:1"}, ""},
	{"datadog", []string{"x-datadog-trace-id: 18446744073709551615", "x-datadog-parent-id: 255", "x-datadog-sampling-priority: 2", "x-datadog-tags: _dd.p.dm=-1,_dd.p.tid=640cfd8d00000000"}, "640cfd8d00000000ffffffffffffffff/00000000000000ff+"},
	{"datadog rejected", []string{"x-datadog-trace-id: 1", "x-datadog-parent-id: 2", "x-datadog-sampling-priority: -1"}, "00000000000000000000000000000001/0000000000000002-"},
	{"datadog unsaid", []string{"x-datadog-trace-id: 1", "x-datadog-parent-id: 2"}, "00000000000000000000000000000001/0000000000000002?"},
	{"datadog too large", []string{"x-datadog-trace-id: 18446744073709551616", "x-datadog-parent-id: 2"}, ""},
	{"datadog no parent", []string{"x-datadog-trace-id: 1", "x-datadog-parent-id: 0"}, ""},
	{
		"skywalking uuid",
		[]string{sw8("1", "de5980b8-fce3-4a37-aab9-b4ac3af7eedd", "56a5e1c519ae4c76a2b8b11d92cead7f", "0", "svc", "i", "/", "h:1")},
		"de5980b8fce34a37aab9b4ac3af7eedd/f41d50d88b60e109+",
	},
	{
		"skywalking java",
		[]string{sw8("0", "56a5e1c519ae4c76a2b8b11d92cead7f.12.16563474296430001", "56a5e1c519ae4c76a2b8b11d92cead7f.12.16563474296430001", "3", "svc", "i", "/", "h:1")},
		"56a5e1c515ae4c7613e51e7cf616977f/4640ffb9e3b8db09-",
	},
	{"skywalking other", []string{sw8("1", "my-own-trace", "my-own-segment", "4", "svc", "i", "/", "h:1")}, "?"},
	{"skywalking seven fields", []string{"sw8: 1-YQ==-YQ==-0-YQ==-YQ==-YQ=="}, ""},
	{"skywalking bad base64", []string{"sw8: 1-!-YQ==-0-YQ==-YQ==-YQ==-YQ=="}, ""},
}

func TestTraceContext(t *testing.T) {
	for _, c := range contextCases {
		got := contextOf(c.headers)
		if c.want == "?" {
			// A hash: valid, stable, and another for another span number.
			other := contextOf([]string{strings.Replace(c.headers[0], "-4-", "-5-", 1)})
			if !got.Valid() || got.TraceID != other.TraceID || got.ParentID == other.ParentID {
				t.Errorf("%s: got %+v and %+v", c.name, got, other)
			}
			continue
		}
		have := ""
		if got != (TraceContext{}) {
			mark := "?"
			if got.HasSampled {
				mark = "-"
			}
			if got.Sampled {
				mark = "+"
			}
			have = hex.EncodeToString(got.TraceID[:]) + "/" + hex.EncodeToString(got.ParentID[:]) + mark + got.State
		}
		if have != c.want {
			t.Errorf("%s: %q\n got %s\nwant %s", c.name, c.headers, have, c.want)
		}
	}
}
