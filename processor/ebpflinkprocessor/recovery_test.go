package ebpflinkprocessor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/metadata"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
)

const (
	childDir    = "EBPF_LINK_TEST_CHILD"
	childFirst  = "EBPF_LINK_TEST_FIRST"
	childCalls  = 20
	childWindow = 600 * time.Millisecond
)

// running is a processor started as the service starts it.
func running(t *testing.T, next consumer.Traces, change ...func(*Config)) *linkProcessor {
	t.Helper()
	cfg := defaultConfig()
	cfg.Window = childWindow
	for _, fn := range change {
		fn(cfg)
	}
	p, err := NewFactory().CreateTraces(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, next)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	return p.(*linkProcessor)
}

func inDir(dir string) func(*Config) { return func(c *Config) { c.Storage.Directory = dir } }

// ledger is a next consumer that writes each span it accepts to a file before it says yes.
type ledger struct{ f *os.File }

func (ledger) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (l ledger) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	var b []byte
	for _, sp := range eachSpan(td) {
		b = fmt.Appendf(b, "%s %s %s\n", sp.SpanID(), sp.TraceID(), sp.ParentSpanID())
	}
	_, err := l.f.Write(b)
	return err
}

func appendTo(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// childBatch is batch n of an endless series: the CLIENT spans of some calls, then their SERVER
// spans.
func childBatch(n int) ptrace.Traces {
	var specs []spanSpec
	for i := range childCalls {
		k := n/2*childCalls + i
		c, s := call(uint64(2*k+1), uint64(2*k+2), "a", "b", k, 500, uint32(10*k+10), 0, uint64(k+1))
		specs = append(specs, []spanSpec{c, s}[n%2])
	}
	return batchOf(specs...)
}

// TestRecoveryChild is the process that TestKillMinus9 kills. It takes batches in for ever and notes
// each that was acknowledged.
func TestRecoveryChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("the child process of TestKillMinus9")
	}
	var n int
	_, err := fmt.Sscan(os.Getenv(childFirst), &n)
	require.NoError(t, err)
	p := running(t, ledger{appendTo(t, filepath.Join(dir, "delivered"))}, inDir(filepath.Join(dir, "store")))
	acked := appendTo(t, filepath.Join(dir, "acked"))
	for ; ; n++ {
		if err := p.ConsumeTraces(t.Context(), childBatch(n)); err != nil {
			n--
			time.Sleep(10 * time.Millisecond)
			continue
		}
		_, err := fmt.Fprintln(acked, n)
		require.NoError(t, err)
		time.Sleep(2 * time.Millisecond)
	}
}

// TestKillMinus9: a process that is killed at random moments loses no acknowledged span and makes no
// wrong link.
func TestKillMinus9(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	require.NoError(t, err)
	next := 0
	for range 4 {
		cmd := exec.Command(exe, "-test.run=^TestRecoveryChild$", "-test.timeout=60s")
		cmd.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("%s=%d", childFirst, next))
		require.NoError(t, cmd.Start())
		before := next
		deadline := time.Now().Add(20 * time.Second)
		for next < before+10 && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond)
			next = lastAcked(t, dir) + 1
		}
		time.Sleep(time.Duration(rand.IntN(1200)) * time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		next = lastAcked(t, dir) + 1
		require.Greater(t, next, before, "the child took nothing in")
	}
	// The batch that was under way when the child died may or may not be stored; a sender that
	// got no answer sends it again, as the next child did.
	p := running(t, ledger{appendTo(t, filepath.Join(dir, "delivered"))}, inDir(filepath.Join(dir, "store")))
	require.NoError(t, p.Shutdown(t.Context()))

	type end struct{ trace, parent string }
	got := map[string][]end{}
	f, err := os.Open(filepath.Join(dir, "delivered"))
	require.NoError(t, err)
	defer f.Close()
	lines := 0
	for in := bufio.NewScanner(f); in.Scan(); lines++ {
		var id string
		var e end
		_, err := fmt.Sscanf(in.Text()+" -", "%s %s %s", &id, &e.trace, &e.parent)
		require.NoError(t, err)
		got[id] = append(got[id], e)
	}
	unlinked, linked := 0, 0
	for n := range next {
		for _, sp := range eachSpan(childBatch(n)) {
			id := sp.SpanID().String()
			require.NotEmpty(t, got[id], "span %s of batch %d was acknowledged and is lost", id, n)
			for _, e := range got[id] {
				require.Equal(t, got[id][0].trace, e.trace, "span %s came twice with different trace ids", id)
				if n%2 == 0 {
					require.Equal(t, "-", e.parent, "a CLIENT span without a request has no parent")
					continue
				}
				k := parentOfHex(t, id) - 1
				if e.parent == "-" {
					unlinked++
					continue
				}
				linked++
				require.Equal(t, spanID(k).String(), e.parent, "wrong link")
				require.Equal(t, got[e.parent][0].trace, e.trace, "parent and child in different traces")
			}
		}
	}
	require.Positive(t, linked)
	t.Logf("acknowledged %d batches, delivered %d spans, linked %d, unlinked across a kill %d", next, lines, linked, unlinked)
}

func parentOfHex(t *testing.T, id string) (n uint64) {
	t.Helper()
	_, err := fmt.Sscanf(id, "%x", &n)
	require.NoError(t, err)
	return n
}

func lastAcked(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "acked"))
	if errors.Is(err, os.ErrNotExist) {
		return -1
	}
	require.NoError(t, err)
	last := -1
	for line := range lines(b) {
		_, err := fmt.Sscan(line, &last)
		require.NoError(t, err)
	}
	return last
}

// lines yields the lines of b that end.
func lines(b []byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		start := 0
		for i, c := range b {
			if c == '\n' {
				if !yield(string(b[start:i])) {
					return
				}
				start = i + 1
			}
		}
	}
}

// TestRestartKeepsWhatWaits: with a sink that is down at Shutdown, spans wait for the next start.
func TestRestartKeepsWhatWaits(t *testing.T) {
	dir := t.TempDir()
	down := &sink{refuse: func(int) error { return errors.New("down") }}
	cfg := defaultConfig()
	cfg.Window, cfg.Storage.Directory = childWindow, dir
	core, logs := observer.New(zap.WarnLevel)
	set := processortest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	p, err := NewFactory().CreateTraces(t.Context(), set, cfg, down)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	require.NoError(t, p.ConsumeTraces(t.Context(), batchOf(c)))
	require.NoError(t, p.ConsumeTraces(t.Context(), batchOf(s)))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.NoError(t, p.Shutdown(ctx))
	require.Equal(t, 1, logs.FilterMessageSnippet("ran out of time").Len(), "Shutdown obeys its context")
	require.Error(t, p.ConsumeTraces(t.Context(), batchOf(c)), "closed")

	up := &sink{}
	q := running(t, up, inDir(dir))
	require.NoError(t, q.Shutdown(t.Context()))
	require.NoError(t, q.Shutdown(t.Context()), "a second Shutdown is harmless")
	require.EqualValues(t, 1, parentOf(up.one(t, 2)))

	empty := &sink{}
	require.NoError(t, running(t, empty, inDir(dir)).Shutdown(t.Context()))
	require.Empty(t, empty.calls, "what was delivered is not stored any more")
}

// TestPartlyDeliveredBatch: what left before a crash stays gone and still lends its trace id.
func TestPartlyDeliveredBatch(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, inDir(dir), func(c *Config) { c.Storage.Sync = store.Never })
	c1, s1 := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	c2, s2 := call(3, 4, "b", "c", 10, 50, 20, 7, 8)
	other := spanSpec{id: 9, host: "z", kind: ptrace.SpanKindServer, duration: 5, link: rawspan.Link{Systrace: 99}}
	r.consume(c1)
	r.pass(8 * time.Second)
	r.consume(s1, other)
	r.pass(12 * time.Second) // c1 is due and takes s1 along; other stays
	require.Len(t, r.sink.spans(), 2)
	trace := r.sink.one(t, 2).TraceID()
	require.NoError(t, r.payloads.close())

	q := newRig(t, inDir(dir))
	require.EqualValues(t, 1, q.held.Load())
	q.consume(c2, s2)
	q.pass(40 * time.Second)
	require.Len(t, q.sink.spans(), 3, "other, and the two that came after the restart")
	require.EqualValues(t, 2, parentOf(q.sink.one(t, 3)))
	require.Equal(t, trace, q.sink.one(t, 4).TraceID())
	require.NotEqual(t, trace, q.sink.one(t, 9).TraceID())
}

// TestDeliveryCutOffKeepsItsTraceIDs: a delivery that a crash kept from being recorded is made again, with the
// same trace ids, though a root has come meanwhile that would have given others.
func TestDeliveryCutOffKeepsItsTraceIDs(t *testing.T) {
	dir, crash := t.TempDir(), t.TempDir()
	c1, s1 := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	r := newRig(t, inDir(dir))
	r.sink.refuse = func(int) error { return os.CopyFS(crash, os.DirFS(dir)) }
	r.consume(s1)
	r.pass(21 * time.Second)
	first := r.sink.one(t, 2)

	q := newRig(t, inDir(crash))
	require.EqualValues(t, 1, q.held.Load(), "it was not recorded as delivered")
	q.consume(c1)
	q.pass(40 * time.Second)
	require.Equal(t, first.TraceID(), q.sink.one(t, 2).TraceID())
	require.Equal(t, first.TraceID(), q.sink.one(t, 1).TraceID())
	require.NoError(t, q.payloads.close())

	again := newRig(t, inDir(crash))
	require.Zero(t, again.held.Load(), "now it was")
	again.consume(s1)
	again.pass(40 * time.Second)
	require.Empty(t, again.sink.spans(), "a duplicate")
}

// TestClockStepsForgetNothing: facts are as old as the time that they were in use, whatever the wall clock says.
func TestClockStepsForgetNothing(t *testing.T) {
	dir := t.TempDir()
	c1, s1 := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	r := newRig(t, inDir(dir))
	r.consume(s1)
	r.pass(21 * time.Second)
	id := r.sink.one(t, 2).TraceID()
	require.NoError(t, r.payloads.close())
	for _, step := range []time.Duration{240 * time.Hour, -240 * time.Hour, 0} {
		q := newRig(t)
		q.clock.advance(step)
		q.cfg.Storage.Directory = dir
		require.NoError(t, q.openPayloads(t.Context()))
		q.pass(time.Minute)
		require.Equal(t, 1, q.index.Len(), "after a step of %s", step)
		if step == 0 {
			q.consume(c1)
			q.pass(21 * time.Second)
			require.Equal(t, id, q.sink.one(t, 1).TraceID())
		}
		require.NoError(t, q.payloads.close())
	}
}

// TestLateSpanAfterARestart: what left before a restart is remembered for link_retention of running time, and
// no longer.
func TestLateSpanAfterARestart(t *testing.T) {
	dir := t.TempDir()
	c1, s1 := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	c2, s2 := call(3, 4, "b", "c", 10, 50, 20, 7, 8)
	// The CLIENT span of c1 gives the trace its id, which is not the one that s1 would make.
	r := newRig(t, inDir(dir))
	r.consume(c1)
	announced := spanSpec{id: 20, host: "z", kind: ptrace.SpanKindServer, link: rawspan.Link{Systrace: 99, Pending: true}}
	r.consume(announced)
	r.pass(30 * time.Second)
	id := r.sink.one(t, 1).TraceID()
	require.NoError(t, r.payloads.close())

	after := func(d time.Duration) *rig {
		q := newRig(t)
		q.clock.advance(d)
		q.cfg.Storage.Directory = dir
		require.NoError(t, q.openPayloads(t.Context()))
		return q
	}
	q := after(10 * time.Hour) // which count for nothing
	q.pass(59 * time.Minute)
	q.consume(s1, c1) // c1 is sent once more by a sender that got no answer
	q.pass(30 * time.Second)
	require.EqualValues(t, 1, parentOf(q.sink.one(t, 2)))
	require.Equal(t, id, q.sink.one(t, 2).TraceID())
	require.Empty(t, q.sink.spans()[1], "what was delivered before the restart is not delivered again")
	require.EqualValues(t, 1, q.metric("spans_duplicate", ""))
	late := spanSpec{id: 21, host: "z", kind: ptrace.SpanKindClient, start: 5, duration: 5, link: rawspan.Link{Systrace: 99}}
	q.consume(late)
	q.pass(30 * time.Second)
	require.EqualValues(t, 20, parentOf(q.sink.one(t, 21)), "a request that was announced before the restart")
	require.NoError(t, q.payloads.close())

	q = after(0)
	q.pass(10 * time.Minute)
	q.consume(c2, s2) // s1 left 59 minutes after the start, so it is still known
	q.pass(30 * time.Second)
	require.EqualValues(t, 2, parentOf(q.sink.one(t, 3)))
	require.Equal(t, id, q.sink.one(t, 3).TraceID())
	require.NoError(t, q.payloads.close())

	q = after(0)
	require.NotZero(t, q.index.Len())
	q.pass(61 * time.Minute)
	require.Zero(t, q.index.Len(), "after link_retention nothing is remembered")
}

func TestStartFailsClearly(t *testing.T) {
	start := func(dir string) error {
		cfg := defaultConfig()
		cfg.Storage.Directory = dir
		p, err := NewFactory().CreateTraces(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, &sink{})
		require.NoError(t, err)
		err = p.Start(t.Context(), componenttest.NewNopHost())
		require.NoError(t, p.Shutdown(t.Context()))
		return err
	}
	dir := t.TempDir()
	p := running(t, &sink{}, inDir(dir))
	require.NoError(t, p.ConsumeTraces(t.Context(), childBatch(0)))
	err := start(dir)
	require.NoError(t, p.Shutdown(t.Context()))
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, "in use by another process or pipeline")
	require.ErrorContains(t, err, fmt.Sprintf("(pid %d)", os.Getpid()))

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.ErrorContains(t, start(filepath.Join(file, "below")), "set storage::directory to another")

	left, err := filepath.Glob(filepath.Join(dir, "facts-*", "MANIFEST"))
	require.NoError(t, err)
	require.Len(t, left, 1, "facts of what has left")
	require.NoError(t, os.WriteFile(left[0], []byte("not a manifest"), 0o600))
	err = start(dir)
	require.ErrorContains(t, err, filepath.Dir(left[0]))
	require.ErrorContains(t, err, "move it away")
}
