package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"
)

// A trace is CLIENT → SERVER → CLIENT → SERVER on three hosts, each of which sends its own requests,
// as agents do: a request holds one hop of many traces.
const (
	requestSpans = 500
	traceSpans   = 4
	// groupTraces is after how many traces each host has filled whole requests.
	groupTraces = requestSpans
	groupSpans  = groupTraces * traceSpans
)

// request is an ExportTraceServiceRequest ready to send, and where in it the values are that tell one
// round of the same input from another.
type request struct {
	body  []byte
	sites []site
}

// site holds offsets into a body; 0 is nowhere.
type site struct {
	trace, span, reqSeq, respSeq, systrace uint32
	systraceID                             uint64
}

// input makes n spans, a multiple of groupSpans.
func input(n int) ([]request, error) {
	out := make([]request, 0, n/requestSpans)
	for first := 0; first < n/traceSpans; first += groupTraces {
		// hops[h] are the spans of host h: of one trace 0; 1 and 2; 3.
		for _, hop := range []struct {
			host     int
			from, to int
			spans    []int
		}{
			{0, 0, groupTraces, []int{0}},
			{1, 0, groupTraces / 2, []int{1, 2}},
			{1, groupTraces / 2, groupTraces, []int{1, 2}},
			{2, 0, groupTraces, []int{3}},
		} {
			r, err := makeRequest(hop.host, first+hop.from, first+hop.to, hop.spans)
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
	}
	return out, nil
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano()

func makeRequest(host, from, to int, positions []int) (request, error) {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	a := rs.Resource().Attributes()
	a.PutStr(rawspan.ResHostID, fmt.Sprintf("host-%d", host))
	a.PutStr(rawspan.ResHostName, fmt.Sprintf("node-%d.example", host))
	a.PutStr("service.name", fmt.Sprintf("service-%d", host))
	a.PutStr("process.executable.name", "items")
	a.PutInt(rawspan.ResPID, int64(1000+host))
	rs.SetSchemaUrl(rawspan.SchemaURL)
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName(rawspan.ScopeName)
	spans := ss.Spans()
	spans.EnsureCapacity(requestSpans)
	type mark struct {
		trace           [16]byte
		span            [8]byte
		reqSeq, respSeq uint32
		systrace        uint64
	}
	marks := make([]mark, 0, requestSpans)
	for n := from; n < to; n++ {
		for _, i := range positions {
			m := mark{trace: traceID(n), span: spanID(n, i), systrace: systrace(n, i)}
			m.reqSeq, m.respSeq = seqs(n, i)
			marks = append(marks, m)
			makeSpan(spans.AppendEmpty(), n, i, m.reqSeq, m.respSeq)
		}
	}
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		return request{}, err
	}
	r := request{body: body, sites: make([]site, len(marks))}
	at := 0
	find := func(b []byte) uint32 {
		n := bytes.Index(body[at:], b)
		if n < 0 {
			err = fmt.Errorf("%x is not in its request", b)
			return 0
		}
		at += n + len(b)
		return uint32(at - len(b))
	}
	for i, m := range marks {
		s := &r.sites[i]
		// pdata writes the fields with the highest numbers first.
		s.reqSeq = find(binary.AppendUvarint(nil, uint64(m.reqSeq)))
		s.respSeq = find(binary.AppendUvarint(nil, uint64(m.respSeq)))
		if m.systrace != 0 {
			s.systrace, s.systraceID = find([]byte(rawspan.FormatID(m.systrace))), m.systrace
		}
		s.span, s.trace = find(m.span[:]), find(m.trace[:])
	}
	return r, err
}

// makeSpan writes a raw span of ten attributes.
func makeSpan(s ptrace.Span, n, i int, req, resp uint32) {
	s.SetTraceID(traceID(n))
	s.SetSpanID(spanID(n, i))
	s.SetName("GET /api/items")
	s.SetKind(ptrace.SpanKindClient)
	// The client's end of connection i/2 has a port of its own, the server's is 8080.
	client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i / 2 * 2)}), uint16(20000+n%40000))
	server := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 2, byte(i / 2 * 2)}), 8080)
	l := rawspan.Link{ReqSeq: req, RespSeq: resp, Systrace: systrace(n, i), Local: client, Peer: server}
	if i%2 == 1 {
		s.SetKind(ptrace.SpanKindServer)
		l.Local, l.Peer = server, client
	}
	s.SetStartTimestamp(pcommon.Timestamp(epoch + int64(n*1000+i)))
	s.SetEndTimestamp(pcommon.Timestamp(epoch + int64(n*1000+1_000_000-i)))
	a := s.Attributes()
	l.Put(a)
	if l.Systrace == 0 {
		a.PutInt("server.port", 8080)
	}
	a.PutStr("http.request.method", "GET")
	a.PutStr("url.path", "/api/items/12345")
	a.PutInt("http.response.status_code", 200)
}

// The pattern 0xa5 keeps an id from being found anywhere else in the request.
func traceID(n int) (id pcommon.TraceID) {
	binary.BigEndian.PutUint64(id[:8], 0xa5a5_0000_0000_0000)
	binary.BigEndian.PutUint64(id[8:], uint64(n+1)*0x9e3779b97f4a7c15)
	return id
}

// spanID numbers the spans, so that span k+1 of a trace is the child of span k.
func spanID(n, i int) (id pcommon.SpanID) {
	binary.BigEndian.PutUint64(id[:], 0xa5<<56|uint64(n*traceSpans+i+1))
	return id
}

// seqs of the connection that span i of trace n shows. The highest bit makes each varint 5 bytes long,
// so that another round can write another number in its place.
func seqs(n, i int) (req, resp uint32) {
	s := uint32(n*2+i/2) * 2654435761
	return s | 1<<31, (s ^ 0x5bd1e994) | 1<<31
}

// systrace: the request that host 1 or 2 serves. The caller on host 0 serves none.
func systrace(n, i int) uint64 {
	if i == 0 {
		return 0
	}
	return uint64(n*2+(i+1)/2) | 0xa5<<56
}

// turn makes the spans of all requests those of another round, with new ids and keys. The pattern of
// keys within a round stays, so that what links, links.
func turn(rs []request, round int) {
	x := uint32(round) * 0x9e3779b1
	for _, r := range rs {
		for _, s := range r.sites {
			r.body[s.trace+2], r.body[s.trace+3] = byte(round>>8), byte(round)
			r.body[s.span+1], r.body[s.span+2] = byte(round>>8), byte(round)
			for _, at := range []uint32{s.reqSeq, s.respSeq} {
				v, _ := binary.Uvarint(r.body[at : at+5])
				binary.PutUvarint(r.body[at:], uint64((uint32(v)^x&0x7fff0000)|1<<31))
			}
			if s.systrace != 0 {
				copy(r.body[s.systrace:], rawspan.FormatID(s.systraceID^uint64(round)<<40))
			}
		}
	}
}
