//go:build linux

package ebpfspanreceiver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/exchange"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/metadata"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/protocol"
)

const (
	// grace is how long after the end of a request its calls still wait for evidence.
	grace = 200 * time.Millisecond
	// maxAge is how long a request is believed to be served: long polls and reports take minutes.
	maxAge = time.Hour
	// maxHeld bounds the calls that wait for their request to end.
	maxHeld = 1 << 17
	// flushAfter bounds how long a span waits for others to share its batch.
	flushAfter = 200 * time.Millisecond
	// lossesAfter is how often it is looked for lost records while calls wait, or requests to be counted. All wait that
	// much longer at most.
	lossesAfter = 50 * time.Millisecond
	// adjustAfter is how often the two clocks are compared, and lost records of processes looked for.
	adjustAfter = 10 * time.Second
)

// ebpfReceiver wires the steps: probe → event → exchange and causality → raw spans → next consumer.
type ebpfReceiver struct {
	config    *Config
	set       receiver.Settings
	log       *zap.Logger
	telemetry *metadata.TelemetryBuilder
	counts    *counts

	host     process.Host
	tracer   *probe.Tracer
	losses   func() ([]probe.Loss, error)
	runtimes []runtimeSupport
	scanner  *process.Scanner
	watch    *process.Watch
	sender   *sender
	cancel   context.CancelFunc
	readers  sync.WaitGroup

	// Below: used by the goroutine that reads events only.
	events event.Event
	table  *exchange.Table
	solver *causality.Solver
	writer spanWriter
	batch  *batch
	adjust time.Time
	// unseen is how many records of processes had been lost when /proc was last read for them.
	unseen uint64
	// said is how many calls of a service had no request when it was last said that something is missing.
	said map[string]uint64
	// missedBy is how often each BPF program was last seen not to have run, see sayMissed.
	missedBy map[string]uint64
	progress
	// unknown waits for what is known of its process.
	unknown unknown

	processes processes
}

func newReceiver(set receiver.Settings, c *Config, next consumer.Traces) (*ebpfReceiver, error) {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, Transport: "bpf", ReceiverCreateSettings: set,
	})
	if err != nil {
		return nil, err
	}
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	r := &ebpfReceiver{config: c, set: set, log: set.Logger, telemetry: telemetry, counts: &counts{}}
	r.sender = newSender(next, obs, &r.counts.send, set.Logger)
	return r, nil
}

// Start loads and attaches the programs, selects processes, and begins to read. On an error nothing
// is left behind.
func (r *ebpfReceiver) Start(_ context.Context, _ component.Host) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("ebpf_span: %w", err), r.release())
		}
	}()
	if r.host, err = process.ReadHost("/proc", "/"); err != nil {
		return fmt.Errorf("identify the host: %w", err)
	}
	if shared, err := process.InitPIDNamespace("/proc"); err == nil && !shared {
		return errors.New("the collector runs in a pid namespace of its own, where process ids are not those " +
			"that the kernel reports: start the container with the host's (hostPID: true, --pid=host)")
	}
	if r.tracer, err = probe.Load(probe.Options{
		PayloadSize: r.config.PayloadSize, RingBufferSize: r.config.RingBufferSize,
	}); err != nil {
		return err
	}
	r.losses = r.tracer.Losses
	for _, of := range runtimes {
		r.runtimes = append(r.runtimes, of(r.tracer, r.log, r.counts))
	}
	rules, err := r.config.Discovery.rules()
	if err != nil {
		return err
	}
	if r.scanner, err = process.NewScanner(process.Options{
		Rules: rules, Host: r.host, Selected: r.selected, Deselected: r.deselected, Inherited: r.inherited,
	}); err != nil {
		return err
	}
	if err = r.tracer.Open(); err != nil {
		return err
	}
	if err = r.tracer.Attach(); err != nil {
		return err
	}
	r.report()
	if err = r.dropCapabilities(r.perfEvents()); err != nil {
		return err
	}

	r.writer = spanWriter{
		host: rawspan.Host{ID: r.host.ID, Boot: r.host.BootID}, clock: event.NewClock(),
	}
	r.solver = causality.NewSolver(causality.Options{
		Hold: r.config.Hold, Grace: grace, MaxHeld: maxHeld, MaxAge: maxAge,
		Posterior: r.config.Statistical.threshold(), Explain: r.config.Explain, Identify: r.processes.identify, Habits: r.processes.habits,
		UnderWay: r.underWay,
	}, &r.counts.causality)
	r.table = exchange.NewTable(exchange.Options{
		MaxConns: r.config.MaxConnections, PendingAfter: r.config.PendingAfter, WatchedSince: r.processes.since,
		Protocol: protocol.Options{CaptureQuery: r.config.CaptureQuery, RawArguments: r.config.RawArguments},
	}, protocol.Table, r, &r.counts.exchange)
	r.batch = newBatch(r.set.BuildInfo.Version)
	if err = r.observe(); err != nil {
		return fmt.Errorf("register telemetry: %w", err)
	}

	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go r.sender.run(ctx)
	r.watch = process.NewWatch(r.scanner, r.config.RescanInterval, func(err error) {
		r.log.Warn("Processes cannot be listed; those that are already selected go on", zap.Error(err))
	})
	r.readers.Add(2)
	go r.readEvents()
	go r.readProcesses()
	return r.watch.Start(ctx)
}

// report says once what did not attach. Telemetry has it too.
func (r *ebpfReceiver) report() {
	if missing := probe.LacksToReadProcesses(); missing != "" {
		r.log.Warn(missing + " is missing: the environment or the executable of other users' processes cannot be read, " +
			"so they are not selected by them. Run as root or give it")
	}
	attached := 0
	for _, s := range r.tracer.Status() {
		if s.State == probe.Attached {
			attached++
			continue
		}
		r.log.Warn("An optional hook is not there", zap.String("program", s.Program), zap.String("hook", s.Hook),
			zap.Stringer("state", s.State), zap.Error(s.Err))
	}
	r.log.Info("Tracing", zap.String("backend", "tracepoint"), zap.Int("hooks", attached), zap.String("host.id", r.host.ID))
}

// Shutdown stops reading, decides what can be decided, delivers what is there until ctx ends, and
// detaches everything.
func (r *ebpfReceiver) Shutdown(ctx context.Context) error {
	if r.tracer == nil { // never started, or stopped before
		r.telemetry.Shutdown()
		return nil
	}
	if r.watch != nil {
		r.watch.Close()
	}
	err := r.tracer.Interrupt()
	r.readers.Wait()
	r.summarize()
	r.sender.close()
	select {
	case <-r.sender.done:
	case <-ctx.Done():
		r.cancel()
		<-r.sender.done
		if n := r.counts.send.Shutdown.Load(); n > 0 {
			err = errors.Join(err, fmt.Errorf("%d spans were not delivered before the deadline: %w", n, ctx.Err()))
		}
	}
	return errors.Join(err, r.release())
}

// summarize says what became of the calls: the first question when links are missing.
func (r *ebpfReceiver) summarize() {
	fields := make([]zap.Field, 0, 2*len(causality.Outcomes))
	for i, name := range causality.Outcomes {
		fields = append(fields, zap.Uint64("calls."+name, r.counts.causality.Outcome(causality.Outcome(i))))
	}
	evidence := map[string]uint64{}
	for _, s := range r.counts.causality.Services() {
		for i := range s.Evidence {
			if n := s.Evidence[i].Load(); n > 0 {
				evidence[causality.Kind(i)] += n
			}
		}
	}
	for name, n := range evidence {
		fields = append(fields, zap.Uint64("evidence."+name, n))
	}
	r.log.Info("Stopped tracing", fields...)
	r.recallReport(true)
}

// release frees what Start took, last first.
func (r *ebpfReceiver) release() error {
	if r.cancel != nil {
		r.cancel()
	}
	if r.scanner != nil {
		r.scanner.Close()
	}
	for _, of := range r.runtimes {
		of.close()
	}
	r.runtimes = nil
	r.telemetry.Shutdown()
	var err error
	if r.tracer != nil {
		err = r.tracer.Close()
		r.tracer = nil
	}
	return err
}

func (r *ebpfReceiver) readEvents() {
	defer r.readers.Done()
	if err := r.tracer.ReadEvents(r.event, r.tick); err != nil {
		r.log.Error("Reading events ended", zap.Error(err))
	}
	r.checkLosses(r.writer.clock.Now())
	r.solver.Flush()
	// What is not known now will not be.
	r.describeUnknown(time.Now().Add(2*inheritFor), func(uint32) bool { return false })
	r.flush()
}

func (r *ebpfReceiver) describeUnknown(now time.Time, due func(tgid uint32) bool) {
	known := func(tgid uint32) bool { return r.processes.of(tgid) != nil }
	r.counts.ownerless.Add(uint64(r.unknown.release(now, known, due, r.emit)))
}

// event takes one record of the kernel side.
func (r *ebpfReceiver) event(raw []byte) {
	if err := event.Decode(raw, &r.events); err != nil {
		r.counts.undecodable.Add(1)
		return
	}
	switch r.events.Kind {
	case event.KindData:
		r.read = max(r.read, r.events.Data.Ts)
		if r.events.Evidence.What != 0 {
			r.solver.Evidence(&r.events.Evidence)
		}
		r.table.Data(&r.events.Data)
	case event.KindConn:
		r.table.Conn(&r.events.Conn)
	case event.KindEvidence:
		r.solver.Evidence(&r.events.Evidence)
	case event.KindOrigin:
		r.solver.Origin(&r.events.Origin)
	case event.KindAsync:
		r.solver.Async(&r.events.Async)
	case event.KindObject:
		r.solver.Object(&r.events.Object)
	default:
		r.counts.undecodable.Add(1)
	}
}

// tick lets time pass for every step.
func (r *ebpfReceiver) tick(drained bool) {
	wall := time.Now()
	if wall.Sub(r.adjust) > adjustAfter {
		r.adjust = wall
		r.writer.clock.Adjust()
		r.processes.forget(wall)
		r.rescanLost()
		r.recallReport(false)
	}
	now := r.writer.clock.Now()
	known := r.advance(now, drained)
	r.table.Tick(known)
	r.decide(now, known)
	r.describeUnknown(wall, func(tgid uint32) bool { return r.watch.Waiting(int(tgid)) })
	r.counts.conns.Store(int64(r.table.Len()))
	r.counts.held.Store(int64(r.solver.Waiting()))
	if r.batch.due(wall) {
		r.flush()
	}
}

func (r *ebpfReceiver) flush() {
	if td, ok := r.batch.take(); ok {
		r.sender.offer(td)
	}
}

// Began implements exchange.Sink.
func (r *ebpfReceiver) Began(x *exchange.Exchange) {
	r.solver.Began(x.Turn, x.Epoch, x.Start, writerOf(x))
	if p := r.processes.of(x.Tgid); p != nil && x.Context != 0 {
		p.serving[x.Context]++
	}
}

// Done implements exchange.Sink.
func (r *ebpfReceiver) Done(x *exchange.Exchange) {
	if x.Server {
		if !x.Pending {
			r.solver.Ended(x.Turn, x.Epoch, x.End, causality.Writer{
				Tgid: x.Tgid, Tid: x.EndTid, Context: x.EndContext, Kind: x.EndContextKind,
			})
			if x.Whole {
				r.solver.Answered(x.Turn, x.Epoch)
			}
			r.count(x)
			return
		}
		r.emit(x, origin{})
		return
	}
	if x.Pending { // only what can be a parent of others needs to be known before it ends
		return
	}
	lineage := r.lineage(x) // the call waits for its answer, and by then its context may serve another request
	r.solver.Hold(causality.Call{
		ID: x.Turn, Writer: writerOf(x), EndTid: x.EndTid, EndContext: x.EndContext,
		Later: x.Later, Together: x.Together, Overlapped: x.Overlapped, Start: x.Start, End: x.End,
		Operation: operation(x),
	}, func(a causality.Answer) { r.emit(x, origin{owner: &a, lineage: lineage}) })
}

func writerOf(x *exchange.Exchange) causality.Writer {
	return causality.Writer{Tgid: x.Tgid, Tid: x.Tid, Context: x.Context, Kind: x.ContextKind}
}

// emit writes the span of x, or keeps x until its process is known. Where from has no lineage, that of now is
// taken.
func (r *ebpfReceiver) emit(x *exchange.Exchange, from origin) {
	p := r.processes.of(x.Tgid)
	if p == nil {
		if !r.unknown.hold(x, from, time.Now()) {
			r.counts.ownerless.Add(1)
		}
		return
	}
	if from.lineage == 0 {
		from.lineage = p.lineage(x)
	}
	if from.owner != nil && from.owner.Outcome != causality.Linked {
		from.lineage = 0 // who created the writer was weighed as well, and is no evidence of this call
	}
	r.write(p, x, from)
}

// lineage is that of x now, 0 where its process is not known yet.
func (r *ebpfReceiver) lineage(x *exchange.Exchange) uint64 {
	if p := r.processes.of(x.Tgid); p != nil {
		return p.lineage(x)
	}
	return 0
}

func (r *ebpfReceiver) write(p *described, x *exchange.Exchange, from origin) {
	if from.owner != nil && len(from.owner.Refused) > 0 {
		from.owner.Refused = r.counts.missing.refused(p.ServiceName, from.owner.Refused)
	}
	r.writer.write(r.batch.of(p.Process), x, from)
	if r.batch.spans >= batchSpans {
		r.flush()
	}
}
