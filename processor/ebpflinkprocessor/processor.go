package ebpflinkprocessor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/block"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/sampling"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/trace"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/window"
)

// Reasons for refusing spans.
const (
	refusedFull     = "max_spans_waiting"
	refusedTooLarge = "batch_too_large"
	refusedStorage  = "storage"
	refusedStopped  = "not_running"
)

// linkProcessor takes batches in on the callers' goroutines and lets traces go on one of its own.
//
//	ConsumeTraces ─ payloads.append ─┐
//	                                 mu: index, book, queues ─ loop ─ payloads.load ─ next
//	Start ─ store.Replay ────────────┘
type linkProcessor struct {
	cfg    *Config
	set    processor.Settings
	next   consumer.Traces
	clock  window.Clock
	tel    *telemetry
	reader reader
	// paired: spans of an SDK that names its process or container have come, so what spans say of their exchanges counts.
	// It is set under mu.
	paired atomic.Bool
	// sampler is read only.
	sampler sampling.Sampler

	// gate is held for reading while a batch is taken in; open is guarded by it.
	gate     sync.RWMutex
	open     bool
	payloads payloads
	// held counts the spans between ConsumeTraces and their departure.
	held atomic.Int64

	// arena holds the tables; it goes with Shutdown.
	arena link.Arena

	// mu guards what follows.
	mu       sync.Mutex
	index    *link.Index
	book     *trace.Book
	arrivals *window.Queue[*batch]
	retained *window.Queue[tenure]
	early    *early
	slots    link.Pages[slot]
	// near is slots.Ahead.
	near func(link.ID)
	// batches are those that spans wait in; the places in unused are free.
	batches []*batch
	unused  []uint32
	// memory is what is remembered of the delivery under way; used by the loop only.
	memory memory
	// refusesAll: all of the last delivery was refused for good; used by the loop only.
	refusesAll bool
	// quietUntil is when the log may say again that max_link_facts is too small; used by the loop only.
	quietUntil window.Instant

	// scratch is the loop's.
	scratch scratch

	// stopping carries the context of Shutdown to the loop.
	stopping chan context.Context
	stopped  chan struct{}
	cancel   context.CancelFunc
	shutdown sync.Once
	shutErr  error
}

// batch is a stored batch that still has spans. Once published only the loop touches it, under mu.
type batch struct {
	seq  uint64
	left int
	at   window.Instant
	// number is its place in linkProcessor.batches.
	number uint32
	// waiting is what arrived in it, by ordinal, until the window is over; next is the first still in it.
	waiting []arrival
	next    uint32
	// leaving is for scratch.sort, delivery for telemetry.departed.
	leaving  int
	delivery uint64
}

// arrival is a span, or what stands for one, in the window: a link.ID, which are below 1<<31, with the bit isPending
// for a pending span. Whether the id is still that of this span its slot says.
type arrival uint32

const (
	isPending arrival = 1 << 31
	// duplicate waits only for its batch to be done with.
	duplicate = ^arrival(0)
	// absent left before a restart.
	absent = ^arrival(1)
)

// here returns the id of what arrived in b, false when that is nobody's any more or another span's.
func (p *linkProcessor) here(b *batch, ordinal uint32) (link.ID, bool) {
	a := b.waiting[ordinal]
	// The number of a batch that all have left is another's.
	if a >= absent || p.batches[b.number] != b {
		return link.None, false
	}
	id := link.ID(a &^ isPending)
	s := p.slots.At(id)
	return id, s.batch == b.number && s.ordinal == ordinal
}

// slot is where the payload of a fact is. Millions of them are cheaper without a pointer.
type slot struct {
	batch, ordinal uint32
	// tenure tells the uses of one link.ID apart. It is never 0.
	tenure uint32
}

// nowhere is no batch's number.
const nowhere = ^uint32(0)

// renew makes what knows the id by its place or its tenure so far forget it.
func (s *slot) renew() { s.batch, s.tenure = nowhere, max(s.tenure+1, 1) }

// tenure is one use of a link.ID.
type tenure struct {
	id link.ID
	n  uint32
}

func newProcessor(set processor.Settings, cfg *Config, next consumer.Traces, clock window.Clock) (*linkProcessor, error) {
	tel, err := newTelemetry(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	index := link.NewLimited(cfg.Rules, cfg.ClockTolerance, link.Limits{Candidates: cfg.MaxCandidates, Rules: cfg.RuleLimits})
	sampler, err := sampling.New(cfg.SamplingRatio)
	if err != nil {
		return nil, fmt.Errorf("sampling_ratio: %g: %w", cfg.SamplingRatio, err)
	}
	traced, err := parseNetworks(cfg.TracedNetworks)
	if err != nil {
		return nil, err
	}
	p := &linkProcessor{
		cfg: cfg, set: set, next: next, clock: clock, tel: tel,
		reader: reader{
			traced: traced, everyProcess: slices.Contains(cfg.Rules, link.Timing),
			sameCall: slices.Contains(cfg.Rules, link.SDKSameCall),
		},
		index:   index,
		sampler: sampler,
		early:   newEarly(clock, cfg.Window),
		book: trace.NewBook(index, trace.Options{
			UseAppTraceID: cfg.UseAppTraceID, UseAppSampled: cfg.UseAppSampled, Sampler: sampler,
		}),
		arrivals: window.New[*batch](clock, cfg.Window),
		retained: window.New[tenure](clock, cfg.LinkRetention),
		stopping: make(chan context.Context, 1),
		stopped:  make(chan struct{}),
	}
	p.index.Use(&p.arena)
	p.book.Use(&p.arena)
	p.scratch.decoder = newDecoder()
	p.scratch.evidence.share = p.scratch.decoder.blocks.Share
	p.slots.Arena, p.near = &p.arena, p.slots.Ahead
	return p, nil
}

// Capabilities: batches are only read; what goes out is a copy.
func (p *linkProcessor) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: false}
}

// Start opens the storage, reads back what waited in it and begins to release.
func (p *linkProcessor) Start(ctx context.Context, _ component.Host) error {
	if err := p.openPayloads(ctx); err != nil {
		return fmt.Errorf("ebpf_link: %w", err)
	}
	if err := p.observe(); err != nil {
		return errors.Join(fmt.Errorf("ebpf_link: register gauges: %w", err), p.payloads.close())
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	p.gate.Lock()
	p.open = true
	p.gate.Unlock()
	go p.loop(runCtx)
	return nil
}

// observe lets the gauges read what is here.
func (p *linkProcessor) observe() error {
	return p.tel.observe(func() (waiting, facts, size int64) {
		p.mu.Lock()
		facts = int64(p.index.Len())
		p.mu.Unlock()
		return p.held.Load(), facts, p.payloads.size()
	}, func() (lag, oldest time.Duration) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.arrivals.Lag(), p.retained.Age()
	}, int64(p.cfg.MaxSpansWaiting))
}

func (p *linkProcessor) openPayloads(ctx context.Context) error {
	if p.cfg.Storage.Directory == "" {
		p.payloads = newInMemory()
		p.set.Logger.Warn("storage::directory is empty: spans that wait are lost when the process ends abnormally")
		return nil
	}
	s, err := store.Open(store.Options{
		Dir: p.cfg.Storage.Directory, Sync: p.cfg.Storage.Sync, SyncInterval: p.cfg.Storage.SyncInterval,
		MaxBytes: p.cfg.Storage.MaxBytes, MaxFacts: p.cfg.MaxLinkFacts, FactsFor: p.cfg.LinkRetention, Now: p.clock.Now,
		Failed: func(op string, err error) {
			p.tel.storeError(context.Background(), op)
			p.set.Logger.Error("storage failed", zap.String("operation", op), zap.Error(err))
		},
	})
	if err != nil {
		return err
	}
	if s.ByPrivilege() {
		p.set.Logger.Warn("the storage directory belongs to another user: the collector can write to it only as long as it has "+
			"CAP_DAC_OVERRIDE, which ebpf_span drops unless its keep_capabilities names it; make the directory the collector's own",
			zap.String("directory", p.cfg.Storage.Directory))
	}
	d := &onDisk{Store: s, enc: encoder{share: block.CanShare()}}
	if err := p.replay(ctx, d); err != nil {
		return errors.Join(err, s.Close())
	}
	p.payloads = d
	return nil
}

// replay takes in the stored batches as if they had just come, with their time of arrival.
func (p *linkProcessor) replay(ctx context.Context, d *onDisk) error {
	ds, recalled, err := p.recall(d)
	if err != nil {
		return err
	}
	var done []store.Departure
	batches, spans := 0, 0
	err = d.Replay(func(b store.Batch) error {
		td, err := p.scratch.decoder.all(b.Payload)
		if err != nil {
			return fmt.Errorf("storage directory %s: batch %d is no batch of spans: %w; move the directory away to start empty", p.cfg.Storage.Directory, b.Seq, err)
		}
		// Whether exchanges are asked for is known when all has been read.
		in := p.reader.read(td, p.reader.sameCall)
		if in.paired {
			p.paired.Store(true)
		}
		marks := make(map[uint32]store.Mark, len(b.Marks))
		for _, m := range b.Marks {
			marks[m.Ordinal] = m
		}
		waiting := len(in.facts) - len(marks)
		p.held.Add(int64(waiting))
		bt := &batch{seq: b.Seq, left: waiting}
		p.take(bt, in, p.arrivals.Recovered(b.Arrival), marks)
		p.reader.done(in)
		if waiting <= 0 {
			done = append(done, store.Departure{Seq: b.Seq, Last: true})
		}
		batches, spans = batches+1, spans+waiting
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	if !p.paired.Load() {
		p.index.Unsay()
	}
	p.apply(ds)
	p.book.Reclaim()
	if batches > 0 || recalled > 0 {
		p.tel.ProcessorEbpfLinkSpansReplayed.Add(ctx, int64(spans))
		p.set.Logger.Info("read back spans that waited, and what is known of those that had left",
			zap.Int("batches", batches), zap.Int("spans", spans), zap.Int("left", recalled))
	}
	return d.Release(done)
}

// ConsumeTraces returns nil once the batch is stored.
func (p *linkProcessor) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	n := td.SpanCount()
	if n == 0 {
		return nil
	}
	p.gate.RLock()
	defer p.gate.RUnlock()
	if !p.open {
		p.tel.refuse(ctx, n, refusedStopped)
		return errors.New("ebpf_link is not running: send again when it is")
	}
	if err := p.reserve(ctx, n); err != nil {
		return err
	}
	asked := p.paired.Load()
	in := p.reader.begin(td, asked)
	seq, err := p.payloads.append(p.clock.Now().UnixNano(), td, in)
	if err != nil {
		p.held.Add(-int64(n))
		p.tel.storeError(ctx, "append")
		if errors.Is(err, store.ErrTooLarge) {
			p.tel.refuse(ctx, n, refusedTooLarge)
			return consumererror.NewPermanent(fmt.Errorf("ebpf_link: %w", err))
		}
		p.tel.refuse(ctx, n, refusedStorage)
		return fmt.Errorf("ebpf_link: %w", err)
	}
	malformed := in.malformed
	b := &batch{seq: seq, left: len(in.facts)}
	p.mu.Lock()
	if !asked && (in.paired || p.paired.Load()) {
		in = p.reader.read(td, true)
		if p.paired.CompareAndSwap(false, true) {
			if err := p.pairUp(p.payloads); err != nil {
				p.tel.storeError(ctx, "load")
				p.set.Logger.Error("spans of calls that an SDK shows, too, may stay beside those", zap.Error(err))
			}
		}
	}
	duplicates, pending := p.take(b, in, p.arrivals.Now(), nil)
	p.mu.Unlock()
	p.reader.done(in)
	p.tel.received(ctx, n, malformed, duplicates, pending)
	return nil
}

// reserve makes room for n spans or says why there is none.
func (p *linkProcessor) reserve(ctx context.Context, n int) error {
	limit := int64(p.cfg.MaxSpansWaiting)
	if int64(n) > limit {
		p.tel.refuse(ctx, n, refusedTooLarge)
		return consumererror.NewPermanent(fmt.Errorf("ebpf_link: a batch of %d spans is more than max_spans_waiting: %d allows ever: send smaller batches or raise it", n, limit))
	}
	if held := p.held.Add(int64(n)); held > limit {
		p.held.Add(-int64(n))
		p.tel.refuse(ctx, n, refusedFull)
		return fmt.Errorf("ebpf_link: %d spans wait already and max_spans_waiting is %d: send again later, raise it, or shorten window", held-int64(n), limit)
	}
	return nil
}

// number gives b its number.
func (p *linkProcessor) number(b *batch) {
	if n := len(p.unused); n > 0 {
		b.number, p.unused = p.unused[n-1], p.unused[:n-1]
		p.batches[b.number] = b
		return
	}
	b.number = uint32(len(p.batches))
	p.batches = append(p.batches, b)
}

// unnumber gives the number back.
func (p *linkProcessor) unnumber(b *batch) {
	p.batches[b.number] = nil
	p.unused = append(p.unused, b.number)
}

// take adds the facts of a batch; marks are the spans of it that left before a restart.
func (p *linkProcessor) take(b *batch, in *reading, at window.Instant, marks map[uint32]store.Mark) (duplicates, pending int) {
	p.number(b)
	for _, h := range in.hosts {
		if !p.index.Host(h.key, h.name) {
			in.anchor(h)
		}
	}
	b.at, b.waiting = at, make([]arrival, len(in.facts))
	for i := range in.facts {
		if i%link.AtOnce == 0 {
			p.index.Expect(in.facts[i:min(i+link.AtOnce, len(in.facts))])
		}
		f := &in.facts[i]
		ordinal := uint32(i)
		arrived := link.None
		more := &plain
		if b, some := in.besides[ordinal]; some {
			more = &b
		}
		mark, left := marks[ordinal]
		id := p.index.Find(f)
		seen := id != link.None
		switch {
		case left && mark.Trace == [16]byte{}, left && seen && !p.index.View(id).Pending:
			b.waiting[i] = absent
			continue
		case f.Pending && !seen:
			pending++
			arrived = p.add(f, &more.rare)
		case !seen:
			arrived = p.add(f, &more.rare)
		case p.index.View(id).Pending && !f.Pending:
			// What was announced has ended.
			p.index.Replace(id, *f, more.rare)
			arrived = id
			p.slots.At(id).renew()
		default:
			duplicates++
		}
		if arrived == link.None {
			b.waiting[i] = duplicate
			continue
		}
		s := p.slots.At(arrived)
		s.batch, s.ordinal = b.number, ordinal
		t := tenure{arrived, s.tenure}
		if more.odds != (sampling.Odds{}) {
			p.book.Say(arrived, more.odds)
		}
		if left {
			p.book.Restore(arrived, mark.Trace, trace.BondOf(mark.Parented, mark.Alone), sampling.Decision(mark.Decision), stamp(at))
			p.retained.Push(p.retained.Now(), t)
			b.waiting[i] = absent
			continue
		}
		b.waiting[i] = arrival(arrived)
		if f.Pending {
			b.waiting[i] |= isPending
		}
		if p.cfg.EarlyRelease {
			p.early.arrived(p.index, f, t)
		}
	}
	p.arrivals.Push(at, b)
	return duplicates, pending
}

// plain is beside most facts.
var plain beside

func (p *linkProcessor) add(f *link.Fact, rare *link.Rare) link.ID {
	id := p.index.Take(f, rare)
	p.book.Add(id)
	p.slots.Grow(int(id) + 1)
	p.slots.At(id).renew()
	return id
}

// stamp is an Instant as a time that is never 0.
func stamp(at window.Instant) int64 { return int64(at) | 1 }

// forget drops facts whose retention is over, and the oldest above the limit.
func (p *linkProcessor) forget(ctx context.Context) {
	p.mu.Lock()
	var expired, surplus int
	var gone []link.ID
	drop := func(pop func() (tenure, bool)) {
		var room [link.AtOnce]tenure
		for len(gone) < forgetAtOnce {
			n := 0
			for ; n < len(room); n++ {
				t, ok := pop()
				if !ok {
					break
				}
				p.slots.Ahead(t.id)
				room[n] = t
			}
			for _, t := range room[:n] {
				if p.slots.At(t.id).tenure == t.n {
					gone = append(gone, t.id)
				}
			}
			if n < len(room) {
				break
			}
		}
	}
	now := p.retained.Now()
	drop(func() (tenure, bool) { return p.retained.Pop(now) })
	expired = len(gone)
	drop(func() (t tenure, ok bool) {
		if p.retained.Len() > p.cfg.MaxLinkFacts {
			t, ok = p.retained.Oldest()
		}
		return t, ok
	})
	surplus = len(gone) - expired
	held, age := p.retained.Len(), p.retained.Age()
	for _, id := range gone {
		p.slots.At(id).renew()
	}
	p.book.Forget(gone)
	p.index.Remove(gone)
	overflow, clocks := p.index.TakeOverflow(), p.index.TakeClocks()
	decided := p.book.TakeDecided()
	whole := p.early.whole
	p.early.whole = 0
	p.mu.Unlock()
	p.tel.retire(ctx, expired, surplus, overflow, clocks)
	if surplus > 0 {
		p.tooFewFacts(now, held, age)
	}
	p.tel.decided(ctx, decided, whole)
}

// forgetAtOnce bounds, give or take link.AtOnce, how long the lock is held.
const forgetAtOnce = 20_000

// Shutdown stops taking spans in and sends on what waits, until ctx ends. What is left then stays in
// the storage for the next Start.
func (p *linkProcessor) Shutdown(ctx context.Context) error {
	p.shutdown.Do(func() { p.shutErr = p.close(ctx) })
	return p.shutErr
}

// grace is how long a next consumer may take to notice that its context ended.
const grace = time.Second

func (p *linkProcessor) close(ctx context.Context) error {
	defer p.tel.Shutdown()
	p.gate.Lock()
	started := p.open
	p.open = false
	p.gate.Unlock()
	if !started {
		return nil
	}
	defer p.cancel()
	p.stopping <- ctx
	select {
	case <-p.stopped:
	case <-ctx.Done():
		p.cancel()
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-p.stopped:
		case <-t.C:
			return fmt.Errorf("ebpf_link: the next consumer still works on a batch %s after the end of Shutdown's time: the storage stays open", grace)
		}
	}
	if left := p.held.Load(); left > 0 {
		p.tel.ProcessorEbpfLinkSpansUndelivered.Add(context.WithoutCancel(ctx), left)
		where := "lost, as storage::directory is empty"
		if d := p.cfg.Storage.Directory; d != "" {
			where = "kept in " + d + " for the next start"
		}
		p.set.Logger.Warn("shutdown ran out of time before all spans were delivered", zap.Int64("spans", left), zap.String("they are", where))
	}
	p.tel.Shutdown()
	p.mu.Lock()
	p.arena.Free()
	p.mu.Unlock()
	return p.payloads.close()
}
