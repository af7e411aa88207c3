package main

import (
	"fmt"
	"io"
)

// rivals are figures that others published of their own work. None was measured here.
var rivals = []struct{ system, figure, source string }{
	{"vPath", "precise for synchronous threads; 6 % CPU on TPC-W; assumes a thread for each request", "USENIX ATC 2009"},
	{"TraceWeaver", "about 90 % accuracy; needs the call graph; benchmark applications and Alibaba's traces", "SIGCOMM 2024, abstract"},
	{"DeepTrace", "above 95 % under high concurrency; its README: above 90 %", "SIGCOMM 2025, abstract; DeepShield-AI/DeepTrace"},
	{"FlowScope", "51 % more accuracy than DeepFlow and TraceWeaver, 89 % less overhead of collection", "ICSE 2026, abstract"},
	{"CrossTrace", "above 90 %", "arXiv 2508.11342"},
	{"Nahida", "above 92 % of requests, latency +1.55 to +2.1 %", "arXiv 2311.09032"},
	{"ChainScope", "up to 2.2 times the accuracy and 1.6 times the throughput of non-intrusive rivals", "CoNEXT 2026, abstract"},
	{"DeepFlow", "no figure in the paper; \"all same-thread, partial cross-thread\" (X-Request-ID, SQL comments)", "SIGCOMM 2023; docs, auto-tracing"},
	{"OBI, Java fixed pool and Future", "19 of 400 right, 317 without a parent, 63 wrong; same thread 100 % (closed since)", "OBI issue 2259"},
	{"OBI, JDK 21 virtual threads", "63 to 68 % broken before its fix", "OBI issue 2242, PR 2261"},
	{"OBI, Node gRPC without hooks", "one trace of some 45,000 spans", "OBI issue 2551"},
	{"OBI", "documented gaps: WebFlux, Netty and Reactor, custom schedulers, select on Go channels", "opentelemetry.io, context propagation; PR 2491"},
}

func documentRivals(w io.Writer) {
	fmt.Fprint(w, `
## What others publish

Of other programs on other machines, by their authors, and not measured here.

| system | figure | source |
| --- | --- | --- |
`)
	for _, r := range rivals {
		fmt.Fprintf(w, "| %s | %s | %s |\n", r.system, r.figure, r.source)
	}
}
