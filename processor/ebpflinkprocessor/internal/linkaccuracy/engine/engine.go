// Package engine puts a forest through the real processor: its factory, ConsumeTraces in batches of
// any size, and a clock that runs as fast as the processor can.
package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/forest"
)

// Config is that of the processor.
type Config = ebpflinkprocessor.Config

// Out is what became of a span.
type Out struct {
	Trace  [16]byte
	Parent [8]byte
	Rule   string
	// Confidence of Rule.
	Confidence float64
	// Times is how often it came out.
	Times int
	// Adopted: Parent, which came later, says so in a span link. Adopters is how many spans do.
	Adopted  bool
	Adopters int
}

// Result of a run, by span.
type Result map[*forest.Span]Out

// Interruption is what happens to the processor between two batches.
type Interruption uint8

// Interruptions. Both but None need a storage directory; what waits must come out all the same.
const (
	None Interruption = iota
	// Restart is a Shutdown without time to deliver anything.
	Restart
	// Crash goes on with the directory as it is at that moment, as after kill -9.
	Crash
)

// Options of a run.
type Options struct {
	// Seed of the batches.
	Seed uint64
	// Change the default configuration, which keeps everything in memory.
	Change func(*Config)
	// Directory of the storage; empty keeps everything in memory.
	Directory string
	// Interrupt says what comes after a batch; nil for nothing.
	Interrupt func(batch int) Interruption
	// Left is called with each span that comes out, and when.
	Left func(s *forest.Span, at time.Time)
	// Steps: it is also asked after each stop of the clock, and counts them.
	Steps bool
}

const (
	// step is how often the clock stops on its way.
	step = time.Second
	// maxBatch spans, none of them held up for longer than maxHold, make a batch.
	maxBatch = 400
	maxHold  = time.Second
)

// Run sends f through a processor and returns what comes out.
func Run(f *forest.Forest, o Options) (Result, error) {
	r := &run{f: f, o: o, clock: NewClock(forest.Epoch), sink: newSink(f)}
	if o.Directory != "" {
		r.directory = filepath.Join(o.Directory, "first")
	}
	if o.Left != nil {
		r.sink.left = func(s *forest.Span) { o.Left(s, r.clock.Now()) }
	}
	if err := r.start(); err != nil {
		return nil, err
	}
	if err := r.feed(); err != nil {
		return nil, err
	}
	if err := r.p.Shutdown(context.Background()); err != nil {
		return nil, err
	}
	return r.sink.out, r.sink.err
}

type run struct {
	f     *forest.Forest
	o     Options
	clock *Clock
	sink  *sink
	p     processor.Traces
	cfg   *Config
	// n counts the moments at which it may be interrupted.
	n int
	// door is between the processor that runs and the sink.
	door      *door
	directory string
}

func (r *run) start() error {
	factory := ebpflinkprocessor.NewFactoryWithClock(r.clock)
	r.cfg = factory.CreateDefaultConfig().(*Config)
	r.cfg.Storage.Directory, r.cfg.MaxSpansWaiting = r.directory, 10_000_000
	r.cfg.MaxLinkFacts = 10_000_000
	if r.f.Scenario.Window > 0 {
		r.cfg.Window = r.f.Scenario.Window
	}
	if r.o.Change != nil {
		r.o.Change(r.cfg)
	}
	if err := r.cfg.Validate(); err != nil {
		return err
	}
	r.door = &door{sink: r.sink}
	ctx := context.Background()
	p, err := factory.CreateTraces(ctx, processortest.NewNopSettings(factory.Type()), r.cfg, r.door)
	if err != nil {
		return err
	}
	r.p = p
	r.clock.Renew()
	return p.Start(ctx, componenttest.NewNopHost())
}

func (r *run) feed() error {
	rng := rand.New(rand.NewPCG(r.o.Seed, 0xba7c4))
	rest := r.f.Delivery
	for len(rest) > 0 {
		n := r.n
		size := 1
		for limit := 1 + rng.IntN(maxBatch); size < len(rest) && size < limit && rest[size].At-rest[0].At <= int64(maxHold); {
			size++
		}
		batch := append([]forest.Arriving(nil), rest[:size]...)
		if err := r.passUntil(time.Unix(0, batch[size-1].At)); err != nil {
			return err
		}
		rng.Shuffle(size, func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
		if err := r.p.ConsumeTraces(context.Background(), r.f.Traces(batch)); err != nil {
			return fmt.Errorf("batch %d: %w", n, err)
		}
		rest = rest[size:]
		if err := r.interrupt(); err != nil {
			return fmt.Errorf("after batch %d: %w", n, err)
		}
	}
	return r.passUntil(r.clock.Now().Add(2*r.cfg.Window + time.Second))
}

func (r *run) interrupt() error {
	if r.o.Interrupt == nil {
		return nil
	}
	n := r.n
	r.n++
	what := r.o.Interrupt(n)
	if what == None {
		return nil
	}
	r.door.shut.Store(true)
	if what == Crash {
		// What a killed process leaves behind is what the system has seen of its files.
		image := filepath.Join(r.o.Directory, fmt.Sprintf("crash-%d", n))
		if err := freeze(image, r.directory); err != nil {
			return err
		}
		r.directory = image
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.p.Shutdown(over); err != nil {
		return err
	}
	return r.start()
}

// freeze copies a directory that is in use. A kill takes no time and a copy does: when files come or go
// meanwhile it begins again.
func freeze(image, from string) error {
	for tries := 0; ; tries++ {
		before, err := names(from)
		if err == nil {
			err = os.CopyFS(image, os.DirFS(from))
		}
		after, nerr := names(from)
		if err == nil && nerr == nil && slices.Equal(before, after) {
			return nil
		}
		if err != nil && (!errors.Is(err, os.ErrNotExist) || tries == 50) {
			return err
		}
		if err := os.RemoveAll(image); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func names(dir string) (out []string, err error) {
	err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		out = append(out, path)
		return err
	})
	return out, err
}

// door is shut when its processor has ended for the world.
type door struct {
	*sink
	shut atomic.Bool
}

func (d *door) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	if d.shut.Load() {
		return errors.New("nobody is there any more")
	}
	return d.sink.ConsumeTraces(ctx, td)
}

// passUntil lets time go by, in steps in which the processor works.
func (r *run) passUntil(t time.Time) error {
	for now := r.clock.Now(); now.Before(t); {
		now = now.Add(min(step, t.Sub(now)))
		r.clock.Advance(now)
		if r.o.Steps {
			if err := r.interrupt(); err != nil {
				return fmt.Errorf("at %s: %w", now, err)
			}
		}
	}
	return nil
}

// sink keeps what comes out.
type sink struct {
	mu    sync.Mutex
	spans map[[8]byte]*forest.Span
	out   Result
	err   error
	left  func(*forest.Span)
}

func newSink(f *forest.Forest) *sink {
	s := &sink{spans: map[[8]byte]*forest.Span{}, out: Result{}}
	for _, sp := range f.Spans {
		if s.spans[sp.ID] != nil {
			s.err = fmt.Errorf("span id %x twice in the generated traffic", sp.ID)
		}
		s.spans[sp.ID] = sp
	}
	return s
}

func (*sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: true} }

func (s *sink) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				known := s.spans[sp.SpanID()]
				if known == nil {
					s.err = fmt.Errorf("span %s came out and did not go in", sp.SpanID())
					continue
				}
				if s.left != nil {
					s.left(known)
				}
				o := s.out[known]
				o.Times++
				if !o.Adopted {
					o.Parent = sp.ParentSpanID()
				}
				o.Trace = sp.TraceID()
				if v, ok := sp.Attributes().Get("ebpf.link.rule"); ok {
					o.Rule = v.Str()
				}
				if v, ok := sp.Attributes().Get("ebpf.link.confidence"); ok {
					o.Confidence = v.Double()
				}
				s.out[known] = o
				for _, l := range sp.Links().All() {
					if v, ok := l.Attributes().Get(rawspan.AttrChild); ok && v.Bool() {
						s.adopt(sp.SpanID(), l)
					}
				}
			}
		}
	}
	return nil
}

// adopt notes that the span parent says in l that it is the parent of another.
func (s *sink) adopt(parent pcommon.SpanID, l ptrace.SpanLink) {
	child := s.spans[l.SpanID()]
	o := s.out[child]
	switch {
	case o.Times == 0:
		s.err = fmt.Errorf("span %s adopts %s, which has not come out", parent, l.SpanID())
	case o.Trace != l.TraceID():
		s.err = fmt.Errorf("span %s adopts %s of trace %x, which left with %s", parent, l.SpanID(), o.Trace, l.TraceID())
	case o.Parent != [8]byte{} && !o.Adopted:
		s.err = fmt.Errorf("span %s adopts %s, which has a parent", parent, l.SpanID())
	}
	o.Adopters++
	o.Adopted, o.Parent = true, parent
	if v, ok := l.Attributes().Get(rawspan.AttrRule); ok {
		o.Rule = v.Str()
	}
	if v, ok := l.Attributes().Get(rawspan.AttrConfidence); ok {
		o.Confidence = v.Double()
	}
	s.out[child] = o
}
