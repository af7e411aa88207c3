package distribution

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

// row is a span as another producer sends it, by name.
type row struct {
	name       string
	kind       int
	start, end time.Duration
	own        []attr
	resource   []attr
	// under is the parent that it says, a span id.
	under string
	// parent and rule are what it should get, both "" for a root.
	parent, rule string
	// trace and parentID are what a header names, where the spans it speaks of are not here.
	trace, parentID string
}

// traced sends rows and compares what comes back.
func traced(t *testing.T, overlay string, rows []row) {
	i := prepare(t, t.TempDir(), map[string]string{
		"OTELCOL_EBPF_EXPORTERS":     "[file]",
		"OTELCOL_EBPF_WINDOW":        "1s",
		"OTELCOL_EBPF_DECISION_WAIT": "1s",
	}, "--config", config("gateway.yaml"), "--config", config(overlay))
	i.run(t)

	now := time.Now().Add(-time.Minute)
	id := map[string]string{}
	var from []resource
	for n, r := range rows {
		id[r.name] = fmt.Sprintf("%016x", n+1)
		if r.under == "itself" {
			r.under = id[r.name]
		}
		from = append(from, resource{r.resource, []span{{
			TraceID: fmt.Sprintf("%032x", 1000+n), SpanID: id[r.name], ParentSpanID: r.under, Name: r.name, Kind: r.kind,
			Start: strconv.FormatInt(now.Add(r.start).UnixNano(), 10), End: strconv.FormatInt(now.Add(r.end).UnixNano(), 10),
			Attributes: r.own,
		}}})
	}
	i.post(t, from)
	var got map[string]span
	i.await(t, "all spans are exported", func() bool {
		got = i.written(t)
		return len(got) == len(rows)
	})
	for _, r := range rows {
		s := got[r.name]
		rule := ""
		for _, a := range s.Attributes {
			if a.Key == "ebpf.link.rule" {
				rule, _ = a.Value["stringValue"].(string)
			}
		}
		want := id[r.parent] + r.parentID
		if s.ParentSpanID != want || rule != r.rule {
			t.Errorf("%s: under %q by %q, want %q (%s) by %q", r.name, s.ParentSpanID, rule, want, r.parent, r.rule)
		}
		if r.trace != "" && s.TraceID != r.trace {
			t.Errorf("%s: trace %s, want %s", r.name, s.TraceID, r.trace)
		}
		if r.parent != "" && s.TraceID != got[r.parent].TraceID {
			t.Errorf("%s: another trace than its parent", r.name)
		}
	}
	if t.Failed() {
		t.Log(i.log)
	}
	i.stop(t)
}

const ms = time.Millisecond

// TestDeepFlowRows: rows as DeepFlow's OTLP exporter writes them (server/ingester/flow_log/log_data/
// otlp_export.go), of one request that makes three calls from one thread.
func TestDeepFlowRows(t *testing.T) {
	at := func(agent, point string, pid, req, resp int) []attr {
		out := []attr{text("df.capture_info.agent", agent), text("df.capture_info.observation_point", point)}
		if pid != 0 {
			out = append(out, number("process.pid_0", pid), number("process.pid_1", pid))
		}
		if req != 0 {
			out = append(out, number("df.transport.req_tcp_seq", req), number("df.transport.resp_tcp_seq", resp))
		}
		return out
	}
	ids := func(before, after int) []attr {
		return []attr{number("df.span.syscall_trace_id_request", before), number("df.span.syscall_trace_id_response", after)}
	}
	rid := func(id string) attr { return text("df.span.x_request_id_0", id) }
	const client, server = "Client Process", "Server Process"

	traced(t, "interop-deepflow.yaml", []row{
		{name: "request", kind: kindServer, start: 0, end: 100 * ms, own: ids(-71, 74), resource: at("n1", server, 10, 0, 0), under: "itself"},
		{name: "call 1", kind: kindClient, start: 10 * ms, end: 20 * ms, own: ids(-71, 72), resource: at("n1", client, 10, 0, 0), under: "itself", parent: "request", rule: "compat"},
		{name: "call 2", kind: kindClient, start: 30 * ms, end: 50 * ms, own: ids(72, 73), resource: at("n1", client, 10, 501, 502), under: "itself", parent: "request", rule: "compat"},
		{name: "call 3", kind: kindClient, start: 60 * ms, end: 70 * ms, own: append(ids(73, 74), rid("7b1c9a3e-0f51-4c53")), resource: at("n1", client, 10, 0, 0), under: "itself", parent: "request", rule: "compat"},
		{name: "call 2 at the client's NIC", kind: kindClient, start: 31 * ms, end: 49 * ms, resource: at("n1", "Client NIC", 0, 501, 502), under: "itself", parent: "call 2", rule: "compat"},
		{name: "call 2 at the server's NIC", kind: kindServer, start: 32 * ms, end: 48 * ms, resource: at("n2", "Server NIC", 0, 501, 502), under: "itself", parent: "call 2 at the client's NIC", rule: "compat"},
		{name: "call 2 served", kind: kindServer, start: 33 * ms, end: 47 * ms, own: ids(81, 81), resource: at("n2", server, 20, 501, 502), under: "itself", parent: "call 2", rule: "tcp_seq"},
		{name: "call 3 served, behind a proxy", kind: kindServer, start: 62 * ms, end: 68 * ms, own: append(ids(91, 91), rid("7b1c9a3e-0f51-4c53")), resource: at("n3", server, 30, 601, 602), under: "itself", parent: "call 3", rule: "x_request_id"},
		{name: "thread of another process", kind: kindClient, start: 10 * ms, end: 20 * ms, own: ids(74, 75), resource: at("n1", client, 11, 0, 0), under: "itself"},
		{
			name: "of an application", kind: kindServer, start: 0, end: 5 * ms, resource: at("n4", server, 40, 0, 0), under: "00000000000000ab",
			own:   []attr{text("df.span.native.trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"), text("df.span.native.span_id", "00f067aa0ba902b7")},
			trace: "4bf92f3577b34da6a3ce929d0e0e4736", parentID: "00f067aa0ba902b7",
		},
		{
			name: "of SkyWalking", kind: kindServer, start: 0, end: 5 * ms, resource: at("n4", server, 40, 0, 0), under: "00000000000000ab",
			own: []attr{text("df.span.native.trace_id", "a.1.2"), text("df.span.native.span_id", "a.1.2-0")},
		},
		{name: "of an SDK", kind: 1, start: 0, end: 5 * ms, own: ids(-71, 74), resource: at("n1", "Application", 0, 0, 0)},
	})
}

// TestDataKitSpans: the fields of dketrace on spans: one id of a thread, decoded up to 5 s late.
func TestDataKitSpans(t *testing.T) {
	own := func(kind string, thread, req, resp int, host, pid string) []attr {
		return []attr{
			text("ebpf_span_type", kind), text("source_type", "ebpf"), text("host", host), text("pid", pid),
			number("thread_trace_id", thread), number("req_seq", req), number("resp_seq", resp),
		}
	}
	traced(t, "interop-datakit.yaml", []row{
		{name: "request", start: 3000 * ms, end: 3100 * ms, own: own("entry", 7, 11, 12, "n1", "10")},
		{name: "call 1", start: 10 * ms, end: 20 * ms, own: own("exit", 7, 21, 22, "n1", "10"), parent: "request", rule: "compat"},
		{name: "call 2", start: 5000 * ms, end: 5010 * ms, own: own("exit", 7, 31, 32, "n1", "10"), parent: "request", rule: "compat"},
		{name: "call 1 served", start: 4000 * ms, end: 4010 * ms, own: own("entry", 8, 21, 22, "n2", "20"), parent: "call 1", rule: "compat"},
		{name: "call 2 served", start: 5001 * ms, end: 5009 * ms, own: own("entry", 9, 31, 32, "n2", "20"), parent: "call 2", rule: "tcp_seq"},
		{name: "call of an unknown request", start: 10 * ms, end: 20 * ms, own: own("exit", 1234567, 41, 42, "n1", "10")},
		{name: "same id on another host", start: 3010 * ms, end: 3020 * ms, own: own("exit", 7, 51, 52, "n2", "20")},
		{
			name: "of an application", start: 3000 * ms, end: 3100 * ms, own: append(own("entry", 17, 61, 62, "n1", "10"),
				number("app_trace_id_l", 12), number("app_trace_id_h", 255), number("app_parent_id_l", 13)),
			trace: "00000000000000ff000000000000000c", parentID: "000000000000000d",
		},
	})
}

// TestInteropLeavesOursAlone: spans of our own, and an SDK's beside them, link in the same pipeline as without it.
func TestInteropLeavesOursAlone(t *testing.T) {
	for _, overlay := range []string{"interop-deepflow.yaml", "interop-datakit.yaml"} {
		t.Run(overlay, func(t *testing.T) {
			var rows []row
			for host, s := range call(time.Now()) {
				r := row{name: s.Name, kind: s.Kind, end: 50 * ms, own: s.Attributes, resource: []attr{text("host.id", host), number("process.pid", 7)}}
				if s.Kind == kindServer {
					r.parent, r.rule = "GET client", "tcp_seq"
				}
				rows = append(rows, r)
			}
			// A query, which carries no header: the SDK's span of it and eBPF's find each other by process and time.
			query := []attr{text("db.system.name", "redis"), number("server.port", 6379)}
			shop := []attr{text("host.id", "c"), number("process.pid", 7), text("service.name", "shop")}
			rows = append(rows,
				row{name: "GET of the SDK", kind: kindClient, end: 20 * ms, own: query, resource: shop},
				row{
					name: "GET on the wire", kind: kindClient, start: ms, end: 19 * ms, resource: shop,
					own:    append([]attr{number("tcp.req_seq", 3333), number("tcp.resp_seq", 4444)}, query...),
					parent: "GET of the SDK", rule: "sdk_same_call",
				},
			)
			traced(t, overlay, rows)
		})
	}
}
