package ebpflinkprocessor

import (
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

// The ten defects of DataKit's linker in reference/seeds.md section A2, each as what must not happen here.
// internal/linkaccuracy/datakit shows those that are rules at work, side by side with this processor.

// hop is one window later than the one before.
const hop = 25 * time.Second

func TestDataKitDefect01SamplingOfTracesThatStraddleWindows(t *testing.T) {
	r := newRig(t, ratio(.1))
	const traces = 200
	for i := range uint64(traces) {
		c, s := call(1+i*10, 2+i*10, "a", "b", 0, 60_000, uint32(1+i*100), 0, 1+i*10)
		r.consume(c, s)
	}
	r.pass(hop)
	for i := range uint64(traces) {
		c, s := call(3+i*10, 4+i*10, "b", "c", 10, 50, uint32(50+i*100), 1+i*10, 2+i*10)
		r.consume(c, s)
	}
	r.pass(hop)
	kept := 0
	for i := range uint64(traces) {
		n := 0
		for k := range uint64(4) {
			n += len(r.sink.spans()[1+k+i*10])
		}
		require.Contains(t, []int{0, 4}, n, "trace %d leaked a half", i)
		kept += n / 4
	}
	require.Positive(t, kept)
	require.Less(t, kept, traces/4)
}

func TestDataKitDefect02ChainsOverThreeWindows(t *testing.T) {
	r := newRig(t)
	inside := uint64(0)
	for i := range uint64(5) {
		c, s := call(1+2*i, 2+2*i, host(int(i)), host(int(i)+1), 10*int(i), 1000-100*int(i), uint32(10+10*i), inside, 7+i)
		inside = 7 + i
		r.consume(c, s)
		r.pass(hop)
	}
	for id := uint64(1); id <= 10; id++ {
		require.Equal(t, id-1, parentOf(r.sink.one(t, id)))
		require.Equal(t, r.sink.one(t, 1).TraceID(), r.sink.one(t, id).TraceID())
	}
}

func TestDataKitDefect03AppIDFlowsUpToo(t *testing.T) {
	r := newRig(t)
	c1, s1 := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	c2, s2 := call(3, 4, "b", "c", 10, 50, 20, 7, 8)
	// The header of the second call: both of its ends read it, and it names the same parent.
	for _, l := range []*rawspan.Link{&c2.link, &s2.link} {
		l.AppTraceID, l.AppParentID = traceID(5), spanID(99)
	}
	r.consume(c1, s1, c2, s2)
	r.pass(hop)
	for id := uint64(1); id <= 4; id++ {
		require.Equal(t, traceID(5), r.sink.one(t, id).TraceID(), "span %d", id)
		require.Equal(t, id-1, parentOf(r.sink.one(t, id)), "span %d: client and server are not siblings", id)
	}
}

func TestDataKitDefect04HeadersDoNotBypassSampling(t *testing.T) {
	r := newRig(t, ratio(.001))
	const traces = 300
	for i := range uint64(traces) {
		c, s := call(1+i*10, 2+i*10, "a", "b", 0, 100, uint32(1+i*100), 0, 1+i*10)
		for _, l := range []*rawspan.Link{&c.link, &s.link} {
			l.AppTraceID, l.AppParentID = traceID(0x9e3779b97f4a7c15*(i+1)), spanID(1)
			l.AppSampled, l.HasAppSampled = true, true
		}
		r.consume(c, s)
	}
	r.pass(hop)
	require.Less(t, len(r.sink.spans()), traces/10, "sampled=01 keeps no trace that the ratio drops")

	r = newRig(t)
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	c.link.AppTraceID, c.link.HasAppSampled = traceID(5), true
	r.consume(c, s)
	r.pass(hop)
	require.Empty(t, r.sink.spans(), "and 00 means no: it was read as a yes there")
}

func TestDataKitDefect05TraceIDKeepsAll128Bits(t *testing.T) {
	r := newRig(t)
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	b, err := hex.DecodeString(id)
	require.NoError(t, err)
	c.link.AppTraceID = [16]byte(b)
	r.consume(c, s)
	r.pass(hop)
	require.Equal(t, id, r.sink.one(t, 1).TraceID().String())
	require.Equal(t, id, r.sink.one(t, 2).TraceID().String())
}

func TestDataKitDefect06PIDOfAnyTypeOrNone(t *testing.T) {
	for name, put := range map[string]func(ptrace.ResourceSpans){
		"int":    func(rs ptrace.ResourceSpans) { rs.Resource().Attributes().PutInt(rawspan.ResPID, 42) },
		"string": func(rs ptrace.ResourceSpans) { rs.Resource().Attributes().PutStr(rawspan.ResPID, "42") },
		"none":   func(ptrace.ResourceSpans) {},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			_, s := call(0, 2, "", "b", 0, 100, 10, 0, 7)
			c, _ := call(3, 0, "b", "", 10, 50, 20, 7, 0)
			td := batchOf(s, c)
			put(td.ResourceSpans().At(0))
			require.NoError(t, r.ConsumeTraces(t.Context(), td))
			r.pass(hop)
			require.EqualValues(t, 2, parentOf(r.sink.one(t, 3)), "curl → go → redis")
		})
	}
}

func TestDataKitDefect07DefaultKeepsEverything(t *testing.T) {
	require.Equal(t, 1.0, NewFactory().CreateDefaultConfig().(*Config).SamplingRatio)
	r := newRig(t)
	for i := range uint64(100) {
		c, s := call(1+i*10, 2+i*10, "a", "b", 0, 100, uint32(1+i*100), 0, 1+i*10)
		r.consume(c, s)
	}
	r.pass(hop)
	require.Len(t, r.sink.spans(), 200)
}

func TestDataKitDefect08LastRequestOfAnIdleConnection(t *testing.T) {
	r := newRig(t)
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	r.consume(c, s)
	// Nothing comes after it, on this connection or any other.
	r.pass(20 * time.Second)
	require.EqualValues(t, 1, parentOf(r.sink.one(t, 2)))
	require.Zero(t, r.held.Load())
}

func TestDataKitDefect09TimesAreThoseOfTheKernel(t *testing.T) {
	r := newRig(t)
	c, s := call(1, 2, "a", "b", 0, 100, 10, 0, 7)
	inner, _ := call(3, 0, "b", "", 10, 5, 20, 7, 0)
	// What was decoded 5 s late, and in the wrong order, is placed by when it happened.
	r.consume(inner)
	r.pass(5 * time.Second)
	r.consume(s)
	r.pass(5 * time.Second)
	r.consume(c)
	r.pass(hop)
	for id, spec := range map[uint64]spanSpec{1: c, 2: s, 3: inner} {
		sp := r.sink.one(t, id)
		require.Equal(t, id-1, parentOf(sp))
		begin := epoch0.Add(time.Duration(spec.start) * time.Millisecond)
		require.Equal(t, begin, sp.StartTimestamp().AsTime())
		require.Equal(t, begin.Add(time.Duration(spec.duration)*time.Millisecond), sp.EndTimestamp().AsTime())
	}
}

func TestDataKitDefect10CyclesAndDepthWithoutEnd(t *testing.T) {
	r := newRig(t)
	// Two spans of which each is the other's parent, by the keys that anybody can send.
	c, s := call(1, 2, "a", "a", 0, 100, 10, 7, 7)
	s.start, s.duration = 0, 100
	r.consume(c, s)
	r.pass(hop)
	require.False(t, parentOf(r.sink.one(t, 1)) == 2 && parentOf(r.sink.one(t, 2)) == 1)

	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprintf("ring %t", closed), func(t *testing.T) {
			const depth = 20_000
			r := newRig(t)
			specs := make([]spanSpec, 0, depth)
			for i := range uint64(depth) {
				parent := i
				if i == 0 && closed {
					parent = depth
				}
				specs = append(specs, spanSpec{id: i + 1, kind: ptrace.SpanKindInternal, trace: 5, parent: parent, duration: 10})
			}
			r.consume(specs...)
			begin := time.Now()
			r.pass(hop)
			require.Len(t, r.sink.spans(), depth)
			require.Less(t, time.Since(begin), 20*time.Second)
		})
	}
}
