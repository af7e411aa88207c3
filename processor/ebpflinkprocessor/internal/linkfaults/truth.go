package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

// A trace is CLIENT 0 on host 0, SERVER 1 and CLIENT 2 on host 1, SERVER 3 on host 2: each the child of
// the one before. Agents send what their own host saw, so that no request has a whole trace.
const (
	traceSpans  = 4
	blockTraces = 40
	hosts       = 3
	blockSpans  = traceSpans * blockTraces
)

// block is the traces that are sent together, a request for each host. Each span has so many bytes beside what links it,
// to have something on the disk.
type block struct{ n, body int }

// noise is what these bytes are, so that they stay as many when they are compressed.
var noise = func() string {
	b := make([]byte, 1<<16)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	for i := range b {
		b[i] = ' ' + b[i]%95
	}
	return string(b)
}()

// spanID of span i of trace n of the run. The lowest is 1.
func spanID(n, i int) (id pcommon.SpanID) {
	binary.BigEndian.PutUint64(id[:], uint64(n*traceSpans+i+1))
	return id
}

// number is the place of a span in a run: 4 times its trace and which of it, or false for an id that
// is none of ours.
func number(id pcommon.SpanID, spans int) (int, bool) {
	n := binary.BigEndian.Uint64(id[:])
	return int(n - 1), n > 0 && n <= uint64(spans)
}

// parent of span number k, -1 of a root.
func parent(k int) int {
	if k%traceSpans == 0 {
		return -1
	}
	return k - 1
}

// request is what host h sends of a block: its spans by number, and the message.
type request struct {
	spans   []int
	message []*tracepb.ResourceSpans
}

func (b block) requests(now time.Time) ([]request, error) {
	var out []request
	for h := range hosts {
		td := ptrace.NewTraces()
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr(rawspan.ResHostID, fmt.Sprintf("host-%d", h))
		rs.Resource().Attributes().PutStr("service.name", fmt.Sprintf("service-%d", h))
		ss := rs.ScopeSpans().AppendEmpty()
		ss.Scope().SetName(rawspan.ScopeName)
		r := request{}
		for n := b.n * blockTraces; n < (b.n+1)*blockTraces; n++ {
			for i := range traceSpans {
				if (i+1)/2 == h {
					b.write(ss.Spans().AppendEmpty(), n, i, now)
					r.spans = append(r.spans, n*traceSpans+i)
				}
			}
		}
		enc := ptrace.ProtoMarshaler{}
		bytes, err := enc.MarshalTraces(td)
		if err != nil {
			return nil, err
		}
		var m tracepb.TracesData
		if err := proto.Unmarshal(bytes, &m); err != nil {
			return nil, err
		}
		r.message = m.ResourceSpans
		out = append(out, r)
	}
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out, nil
}

// write writes span i of trace n: the keys that eBPF would see and no parent.
func (b block) write(s ptrace.Span, n, i int, now time.Time) {
	seq := uint32(n*2+i/2)*2654435761 | 1
	l := rawspan.Link{ReqSeq: seq, RespSeq: seq ^ 0x5bd1e994}
	if i == 1 || i == 2 {
		l.Systrace = uint64(n + 1)
	} else if i == 3 {
		l.Systrace = uint64(n+1) | 1<<62
	}
	id := spanID(n, i)
	s.SetSpanID(id)
	s.SetTraceID(rawspan.RawTraceID(l.ReqSeq, l.RespSeq, id))
	s.SetName(fmt.Sprintf("span %d of trace %d", i, n))
	s.SetKind(ptrace.SpanKindClient)
	if i%2 == 1 {
		s.SetKind(ptrace.SpanKindServer)
	}
	start := now.Add(time.Duration(n%blockTraces)*time.Millisecond + time.Duration(i)*time.Microsecond)
	s.SetStartTimestamp(pcommon.NewTimestampFromTime(start))
	s.SetEndTimestamp(pcommon.NewTimestampFromTime(start.Add(time.Millisecond - 2*time.Duration(i)*time.Microsecond)))
	l.Put(s.Attributes())
	s.Attributes().PutStr("url.path", "/api/items/12345")
	at := rand.N(len(noise) - b.body)
	s.Attributes().PutStr("payload", noise[at:at+b.body])
}
