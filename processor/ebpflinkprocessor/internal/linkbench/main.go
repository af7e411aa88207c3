// Command linkbench measures the processor in process: spans of ten attributes, 500 a batch, four
// spans a trace, from memory through ebpf_link to a counting consumer. It prints the join alone, of spans
// that come trace by trace and host by host, the processor without and with storage, checks every link
// against the known parent, and exits with 1 when one is wrong or missing.
package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/trace"
)

const (
	batchSpans = 500
	traceSpans = 4
	traceHosts = 3
)

// fleet is how many hosts there are.
var fleet = traceHosts

func main() {
	spans := flag.Int("spans", 200_000, "number of spans, a multiple of 500")
	dir := flag.String("dir", "", "storage directory; default: a temporary one")
	only := flag.Bool("join", false, "the join alone")
	hosts := flag.Int("hosts", traceHosts, "how many hosts the spans are from; above 3 each trace is of any three of them")
	company := flag.Bool("company", false, "in the join, spans say whose exchange they are of, as is kept where those of SDKs come, too")
	profile := flag.String("cpuprofile", "", "file for a CPU profile")
	flag.Parse()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "linkbench: -cpuprofile:", err)
			os.Exit(1)
		}
		defer pprof.StopCPUProfile()
	}
	fleet = *hosts
	if err := run(*spans, *dir, *only, *company); err != nil {
		fmt.Fprintln(os.Stderr, "linkbench:", err)
		os.Exit(1)
	}
}

func run(spans int, dir string, only, company bool) error {
	if fleet < traceHosts {
		return fmt.Errorf("-hosts %d: a trace has %d", fleet, traceHosts)
	}
	if spans <= 0 || spans%batchSpans != 0 {
		return fmt.Errorf("-spans %d: give a positive multiple of %d", spans, batchSpans)
	}
	if dir == "" {
		tmp, err := os.MkdirTemp("", "linkbench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		dir = tmp
	}
	fmt.Printf("%d spans of 10 attributes, %d a batch, %d a trace, GOMAXPROCS %d, %s\n", spans, batchSpans, traceSpans, runtime.GOMAXPROCS(0), runtime.Version())
	joined, agents, err := joins(spans, company)
	if err != nil {
		return err
	}
	if only {
		for _, r := range []result{agents, joined} {
			fmt.Printf("%s: us_per_span=%.3f least=%.3f spans_per_cpu_second=%.0f allocs_per_span=%.2f wrong_links=%d\n",
				r.name, r.cpu, r.least, 1e6/r.cpu, r.allocs, r.wrong)
		}
		return nil
	}
	memory, err := through(spans, "")
	if err != nil {
		return err
	}
	disk, err := through(spans, dir)
	if err != nil {
		return err
	}
	fmt.Printf("%-28s %12s %14s %10s %14s %12s\n", "", "spans/s", "CPU us/span", "least", "allocs/span", "bytes/span")
	for _, r := range []result{joined, agents, memory, disk} {
		fmt.Printf("%-28s %12.0f %14.2f %10.2f %14.2f %12.0f\n", r.name, r.perSecond, r.cpu, r.least, r.allocs, r.bytes)
	}
	wrong := joined.wrong + agents.wrong + memory.wrong + disk.wrong
	fmt.Printf("processor: join_per_second=%.0f spans_per_second=%.0f spans_per_second_badger=%.0f allocs_per_span=%.1f wrong_links=%d\n",
		joined.perSecond, memory.perSecond, disk.perSecond, disk.allocs, wrong)
	if wrong > 0 {
		return fmt.Errorf("%d links are wrong or missing", wrong)
	}
	return nil
}

type result struct {
	name                          string
	perSecond, cpu, allocs, bytes float64
	least                         float64 // of cpu, of several rounds
	wrong                         int64
}

// measure runs fn over n spans.
func measure(name string, n int, fn func() (int64, error)) (result, error) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin, cpu := time.Now(), cpuTime()
	wrong, err := fn()
	took, busy := time.Since(begin), cpuTime()-cpu
	runtime.ReadMemStats(&after)
	each := float64(busy.Microseconds()) / float64(n)
	return result{
		name: name, perSecond: float64(n) / took.Seconds(), wrong: wrong,
		cpu: each, least: each,
		allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
		bytes:  float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
	}, err
}

// joinRounds is how often the join is measured: it takes a tenth of a second and waits for memory, so that once says
// more about what else goes on.
const joinRounds = 9

// joins measures the join of either order in turn, and returns the median of each, by its CPU time.
func joins(spans int, company bool) (traces, hosts result, err error) {
	var byTraces, byHosts []result
	for range joinRounds {
		t, err := join("join alone", spans, byTrace, company)
		if err != nil {
			return traces, hosts, err
		}
		h, err := join("join alone, by hosts", spans, byHost, company)
		if err != nil {
			return traces, hosts, err
		}
		byTraces, byHosts = append(byTraces, t), append(byHosts, h)
	}
	return median(byTraces), median(byHosts), nil
}

// median of several results; what was wrong in any of them is wrong in it.
func median(rounds []result) result {
	slices.SortFunc(rounds, func(a, b result) int { return cmp.Compare(a.cpu, b.cpu) })
	m := rounds[len(rounds)/2]
	m.least = rounds[0].cpu
	m.wrong = 0
	for _, r := range rounds {
		m.wrong += r.wrong
	}
	return m
}

// cpuTime of this process: on a busy machine it says more than the clock on the wall.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ids of trace n: CLIENT 1 → SERVER 2 → CLIENT 3 → SERVER 4.
func spanID(n, i int) (id [8]byte) {
	binary.BigEndian.PutUint64(id[:], uint64(n*traceSpans+i+1))
	return id
}

// wrongParent says whether parent is not the one of span id.
func wrongParent(id, parent [8]byte) bool {
	n := binary.BigEndian.Uint64(id[:]) - 1
	if n%traceSpans == 0 {
		return parent != [8]byte{}
	}
	return binary.BigEndian.Uint64(parent[:]) != n
}

// order says which span of which trace comes as the i-th.
type order func(i int) (trace, span int)

func byTrace(i int) (trace, span int) { return i / traceSpans, i % traceSpans }

// byHost is how agents send: a batch has one span of each of many traces.
func byHost(i int) (trace, span int) {
	const group = batchSpans * traceSpans
	return i/group*batchSpans + i%batchSpans, i % group / batchSpans
}

// join measures the look-ups alone, asked for as the processor does.
func join(name string, spans int, in order, company bool) (result, error) {
	facts := make([]link.Fact, 0, spans)
	for i := 0; len(facts) < spans; i++ {
		// The last group may be less than all of its spans.
		if n, k := in(i); n < spans/traceSpans {
			facts = append(facts, fact(n, k))
		}
	}
	return measure(name, spans, func() (wrong int64, err error) {
		x := link.New(link.RuleNames(), 500*time.Millisecond)
		b := trace.NewBook(x, trace.Options{UseAppTraceID: true})
		var arena link.Arena
		defer arena.Free()
		x.Use(&arena)
		b.Use(&arena)
		ids := make([]link.ID, spans)
		var rare link.Rare
		for i := range facts {
			if i%link.AtOnce == 0 {
				x.Expect(facts[i:min(i+link.AtOnce, len(facts))])
			}
			if company {
				rare.Exchange = exchange(&facts[i])
			}
			ids[i] = x.Take(&facts[i], &rare)
			b.Add(ids[i])
		}
		left := 0
		for i, id := range ids {
			if i%link.AtOnce == 0 {
				b.Ahead(ids[i:min(i+link.AtOnce, len(ids))], func(link.ID) {}) // it keeps nothing else
			}
			if !b.Waits(id) {
				continue
			}
			members := b.Gather(id)
			for i := range members {
				m := &members[i]
				b.Leave(m, 1)
				left++
				if wrongParent(x.View(m.ID).Span, m.Parent) || m.Trace != members[0].Trace {
					wrong++
				}
			}
		}
		if left != spans {
			err = fmt.Errorf("%d of %d spans left the join", left, spans)
		}
		return wrong, err
	})
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// seqs are the sequence numbers of the connection of span i in trace n.
func seqs(n, i int) (req, resp uint32) {
	s := uint32(n*4+i/2*2)*2654435761 | 1
	return s, s ^ 0x5bd1e994
}

func systrace(n, i int) uint64 {
	if i == 0 {
		return 0
	}
	return uint64(n*2+(i+1)/2+1) | 1<<60
}

// host of span i in trace n, from 0.
func host(n, i int) int {
	hop := (i + 1) / 2
	if fleet == traceHosts {
		return hop
	}
	// Scattered, and no two of a trace alike.
	return (int(uint32(n)*2654435761>>8) + hop*(1+n%(fleet/traceHosts))) % fleet
}

func fact(n, i int) link.Fact {
	req, resp := seqs(n, i)
	f := link.Fact{
		Span: spanID(n, i), Raw: true, Host: uint64(host(n, i) + 1), ReqSeq: req, RespSeq: resp, Systrace: systrace(n, i),
		Start: epoch.UnixNano() + int64(n*1000+i), End: epoch.UnixNano() + int64(n*1000+1_000_000-i),
		Role: link.Client,
	}
	if i%2 == 1 {
		f.Role = link.Server
	}
	return f
}

// exchange is what is kept of f beside it where SDK spans come, too.
func exchange(f *link.Fact) link.Exchange {
	return link.Exchange{PID: uint32(f.Host), Instance: uint32(f.Host), Container: f.Host, Pod: f.Host, Method: 1, Path: 2, Status: 3}
}

// batch builds batch k: spans of one hop of many traces, as agents send them.
func batch(k int) ptrace.Traces {
	td := ptrace.NewTraces()
	perHost := map[int]ptrace.SpanSlice{}
	of := func(h int) ptrace.SpanSlice {
		if known, ok := perHost[h]; ok {
			return known
		}
		rs := td.ResourceSpans().AppendEmpty()
		a := rs.Resource().Attributes()
		a.PutStr(rawspan.ResHostID, fmt.Sprintf("host-%d", h))
		a.PutStr(rawspan.ResHostName, fmt.Sprintf("node-%d.example", h))
		a.PutStr("service.name", "service")
		a.PutInt(rawspan.ResPID, int64(1000+h))
		rs.SetSchemaUrl(rawspan.SchemaURL)
		ss := rs.ScopeSpans().AppendEmpty()
		ss.Scope().SetName(rawspan.ScopeName)
		perHost[h] = ss.Spans()
		return perHost[h]
	}
	for s := k * batchSpans; s < (k+1)*batchSpans; s++ {
		n, i := s/traceSpans, s%traceSpans
		sp := of(host(n, i)).AppendEmpty()
		f := fact(n, i)
		sp.SetSpanID(pcommon.SpanID(f.Span))
		sp.SetTraceID(rawspan.RawTraceID(f.ReqSeq, f.RespSeq, f.Span))
		sp.SetName("GET /api/items")
		sp.SetKind(ptrace.SpanKindClient)
		if f.Role == link.Server {
			sp.SetKind(ptrace.SpanKindServer)
		}
		sp.SetStartTimestamp(pcommon.Timestamp(f.Start))
		sp.SetEndTimestamp(pcommon.Timestamp(f.End))
		l := rawspan.Link{
			ReqSeq: f.ReqSeq, RespSeq: f.RespSeq, Systrace: f.Systrace,
			Local: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(i)}), uint16(n)|1),
		}
		l.Put(sp.Attributes()) // 4 or 5 attributes
		sp.Attributes().PutStr("http.request.method", "GET")
		sp.Attributes().PutStr("url.path", "/api/items/12345")
		sp.Attributes().PutInt("http.response.status_code", 200)
		sp.Attributes().PutStr("server.address", "items.shop.svc.cluster.local")
		sp.Attributes().PutInt("server.port", 8080)
	}
	return td
}

// counter checks what comes out.
type counter struct {
	spans, wrong atomic.Int64
	all          chan struct{}
	want         int64
}

func (*counter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (c *counter) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	wrong := int64(0)
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				if wrongParent(sp.SpanID(), sp.ParentSpanID()) {
					wrong++
				}
			}
		}
	}
	c.wrong.Add(wrong)
	if c.spans.Add(int64(td.SpanCount())) >= c.want {
		select {
		case c.all <- struct{}{}:
		default:
		}
	}
	return nil
}

// through sends the spans through the processor. The window is as short as may be, so that what is
// measured is work and not waiting: batches come faster than it ends.
func through(spans int, dir string) (result, error) {
	batches := make([]ptrace.Traces, spans/batchSpans)
	for k := range batches {
		batches[k] = batch(k)
	}
	factory := ebpflinkprocessor.NewFactory()
	cfg := factory.CreateDefaultConfig().(*ebpflinkprocessor.Config)
	cfg.Window, cfg.Storage.Directory, cfg.MaxSpansWaiting = 100*time.Millisecond, dir, spans
	out := &counter{all: make(chan struct{}, 1), want: int64(spans)}
	ctx := context.Background()
	p, err := factory.CreateTraces(ctx, processortest.NewNopSettings(factory.Type()), cfg, out)
	if err != nil {
		return result{}, err
	}
	if err := p.Start(ctx, componenttest.NewNopHost()); err != nil {
		return result{}, err
	}
	name := "processor, memory only"
	if dir != "" {
		name = "processor, storage"
	}
	r, err := measure(name, spans, func() (int64, error) {
		for _, td := range batches {
			if err := p.ConsumeTraces(ctx, td); err != nil {
				return 0, err
			}
		}
		select {
		case <-out.all:
		case <-time.After(5 * time.Minute):
			return 0, fmt.Errorf("%d of %d spans came out in 5 minutes", out.spans.Load(), spans)
		}
		return out.wrong.Load(), nil
	})
	if serr := p.Shutdown(ctx); err == nil {
		err = serr
	}
	return r, err
}
