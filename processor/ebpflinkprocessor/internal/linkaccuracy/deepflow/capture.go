package deepflow

import (
	"slices"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/forest"
)

// pairTimeout is how long a request waits for its response (section 2: "120 s per protocol").
const pairTimeout = 120 * time.Second

// row is a line of the flow log: a session of one process, or half of one, or an SDK's span.
type row struct {
	span *forest.Span
	// client is c-p, else s-p; neither for an SDK's span.
	app, client bool
	start, end  int64
	// answered: the response was found.
	answered        bool
	reqSeq, respSeq uint32
	// reqSys and respSys are syscall_trace_id_request and _response.
	reqSys, respSys uint64
	trace           [16]byte
	// spanID is of an eBPF row what the header says, of an SDK's its own.
	spanID, parentSpanID [8]byte
	x0, x1               string

	parent *row
	net    *netSet
	set    *procSet
}

// chain is trace_map and the direction of each socket (section 1.3).
type chain struct {
	next    *uint64
	threads map[uint64]uint64
	ingress map[int]bool
}

// step is trace_process: an id is minted by what comes in, taken and deleted by what goes out.
func (c *chain) step(m *forest.Message) uint64 {
	key := m.Context.Lineage
	socket := m.Span.Conn
	defer func() { c.ingress[socket] = m.Ingress }()
	have, ok := c.threads[key]
	if m.Ingress {
		if !ok || !c.ingress[socket] {
			*c.next++
			have = *c.next
		}
		c.threads[key] = have
		return have
	}
	delete(c.threads, key)
	return have
}

// capture makes the rows of what was delivered.
func capture(f *forest.Forest) []*row {
	_, came := f.Arrivals()
	keys := f.Scenario.Keys
	var rows []*row
	next := uint64(0)
	for _, messages := range f.Messages() {
		c := chain{&next, map[uint64]uint64{}, map[int]bool{}}
		// A response belongs to the request that was the message before it on its socket (section 2).
		type open struct {
			r   *row
			cap int
		}
		caps, requests := map[int]int{}, map[int][]open{}
		for i := range messages {
			m := &messages[i]
			s := m.Span
			id := uint64(0)
			if keys != 0 {
				id = c.step(m)
			}
			caps[s.Conn]++
			if !m.Response {
				l := f.Link(s)
				r := &row{
					span: s, client: s.Kind == forest.Client, start: s.Seen(m.At), end: s.Seen(m.At),
					reqSeq: l.ReqSeq, reqSys: id, trace: l.AppTraceID, spanID: l.AppParentID,
				}
				if len(l.ReqRequestID) > 0 {
					r.x0 = l.ReqRequestID[0]
				}
				rows = append(rows, r)
				requests[s.Conn] = append(requests[s.Conn], open{r, caps[s.Conn]})
				continue
			}
			list := requests[s.Conn]
			at := slices.IndexFunc(list, func(o open) bool { return o.cap == caps[s.Conn]-1 })
			if at < 0 || m.At-list[at].r.span.Start > int64(pairTimeout) {
				continue
			}
			r := list[at].r
			requests[s.Conn] = slices.Delete(list, at, at+1)
			l := f.Link(s)
			r.answered, r.end, r.respSeq, r.respSys = true, s.Seen(m.At), l.RespSeq, id
			if len(l.RespRequestID) > 0 {
				r.x1 = l.RespRequestID[0]
			}
		}
	}
	rows = slices.DeleteFunc(rows, func(r *row) bool { _, ok := came[r.span]; return !ok })
	for _, s := range f.Spans {
		if _, ok := came[s]; ok && s.SDK {
			rows = append(rows, &row{
				span: s, app: true, start: s.Seen(s.Start), end: s.Seen(s.End), answered: true,
				trace: s.Trace, spanID: s.ID, parentSpanID: s.CtxParent,
			})
		}
	}
	slices.SortStableFunc(rows, func(a, b *row) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		default:
			return a.span.N - b.span.N
		}
	})
	return rows
}
