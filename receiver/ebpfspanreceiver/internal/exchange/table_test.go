package exchange

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/protocol"
)

const second = uint64(time.Second)

// collector is a sink that keeps everything.
type collector struct {
	began, done []*Exchange
	unread      [][2]uint64
}

func (c *collector) Began(x *Exchange) { c.began = append(c.began, x) }
func (c *collector) Done(x *Exchange)  { c.done = append(c.done, x) }

func (c *collector) Unread(_ uint32, from, to uint64) {
	c.unread = append(c.unread, [2]uint64{from, to})
}

// wire makes the records of one end of a connection. Sequence numbers begin near the wrap-around.
type wire struct {
	table   *Table
	sink    *collector
	counts  *Counts
	role    uint8
	flags   uint8
	conn    uint64
	turn    uint64
	ts      uint64
	in, out uint32
	lastDir uint8
	watched uint64
}

const isn = 0xffffff80

func newWire(role uint8) *wire {
	w := &wire{sink: &collector{}, counts: &Counts{}, role: role, conn: 1, turn: 1000, ts: second, in: isn, out: isn + 7, lastDir: 9}
	w.table = NewTable(Options{
		MaxConns: 100, PendingAfter: 10 * time.Second, WatchedSince: func(uint32) uint64 { return w.watched },
	}, protocol.Table, w.sink, w.counts)
	return w
}

// make builds the record of s moving in dir now, without giving it to the table.
func (w *wire) make(dir uint8, s string, captured int) event.Data {
	w.ts += 1000
	if dir != w.lastDir && (dir == event.In) == (w.role == event.Server) {
		w.turn++
	}
	w.lastDir = dir
	d := event.Data{SocketDataEvent: bpf.SocketDataEvent{
		Kind: uint8(event.KindData), Dir: dir, Role: w.role, Flags: w.flags, Tgid: 42, Tid: 43, Ts: w.ts,
		Conn: w.conn, Turn: w.turn, Len: uint32(len(s)), Captured: uint32(captured), Lport: 80, Rport: 4000,
	}, Payload: []byte(s)[:captured]}
	if dir == event.In {
		d.Seq, d.OtherSeq = w.in, w.out
		w.in += uint32(len(s))
	} else {
		d.Seq, d.OtherSeq = w.out, w.in
		w.out += uint32(len(s))
	}
	return d
}

func (w *wire) move(dir uint8, s string) {
	d := w.make(dir, s, len(s))
	w.table.Data(&d)
}

func (w *wire) close() {
	w.ts += 1000
	w.table.Conn(&event.Conn{What: event.Closed, Conn: w.conn, Ts: w.ts})
}

const (
	get   = "GET /orders/17 HTTP/1.1\r\nHost: shop\r\n\r\n"
	ok    = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	empty = "HTTP/1.1 204 No Content\r\n\r\n"
)

func path(x *Exchange) string {
	for _, a := range x.Request.Attributes {
		if a.Key == "url.path" {
			return a.Str
		}
	}
	return ""
}

func status(x *Exchange) int64 {
	if x.Response == nil {
		return 0
	}
	for _, a := range x.Response.Attributes {
		if a.Key == "http.response.status_code" {
			return a.Int
		}
	}
	return -1
}

func TestServerExchange(t *testing.T) {
	w := newWire(event.Server)
	w.move(event.In, get[:1]) // net/http reads the first byte in another goroutine
	first := w.ts
	w.move(event.In, get[1:])
	require.Len(t, w.sink.began, 1)
	w.move(event.Out, ok[:20])
	w.move(event.Out, ok[20:])
	require.Len(t, w.sink.done, 1)
	x := w.sink.done[0]
	require.True(t, x.Server)
	require.Equal(t, uint32(isn), x.ReqSeq)
	require.Equal(t, uint32(isn+7), x.RespSeq)
	require.Equal(t, first, x.Start)
	require.Equal(t, w.ts, x.End)
	require.Equal(t, w.turn, x.Epoch)
	require.Equal(t, x.Epoch, w.sink.began[0].Epoch)
	require.Equal(t, "/orders/17", path(x))
	require.EqualValues(t, 200, status(x))
}

// Requests of one write belong together; requests of several writes may be anybody's.
func TestNeighbours(t *testing.T) {
	type flags struct{ later, together, overlapped bool }
	seen := func(w *wire) (out []flags) {
		for _, x := range w.sink.done {
			out = append(out, flags{x.Later, x.Together, x.Overlapped})
		}
		return out
	}
	w := newWire(event.Client)
	w.move(event.Out, get+get)
	w.move(event.In, ok+ok)
	require.Equal(t, []flags{{together: true}, {together: true}}, seen(w), "one write")

	w = newWire(event.Client)
	for range 2 {
		w.move(event.Out, get)
	}
	w.move(event.In, ok+ok)
	w.move(event.Out, get)
	w.move(event.In, ok)
	require.Equal(t, []flags{{overlapped: true}, {later: true, overlapped: true}, {}}, seen(w), "two writes of a turn, then one")
}

func TestKeepAliveHasAnEpochForEachRequest(t *testing.T) {
	w := newWire(event.Server)
	seen := map[uint64]bool{}
	for range 3 {
		w.move(event.In, get)
		w.move(event.Out, ok)
	}
	for _, x := range w.sink.done {
		require.False(t, seen[x.Epoch])
		seen[x.Epoch] = true
		require.Equal(t, x.Turn, x.Epoch)
	}
	require.Len(t, seen, 3)
}

func TestPipelining(t *testing.T) {
	w := newWire(event.Server)
	w.move(event.In, strings.Replace(get, "17", "1", 1)+strings.Replace(get, "17", "2", 1))
	w.move(event.Out, ok)
	w.move(event.Out, empty)
	require.Len(t, w.sink.done, 2)
	a, b := w.sink.done[0], w.sink.done[1]
	require.Equal(t, []string{"/orders/1", "/orders/2"}, []string{path(a), path(b)})
	require.Equal(t, []int64{200, 204}, []int64{status(a), status(b)})
	require.Equal(t, a.Turn, b.Turn)
	require.NotEqual(t, a.Epoch, b.Epoch)
	require.Equal(t, a.ReqSeq+uint32(len(get)-1), b.ReqSeq)
}

// A write is recorded when its system call ends: the answer may have been read before.
func TestAnswerRecordedBeforeItsCall(t *testing.T) {
	w := newWire(event.Client)
	w.move(event.Out, get)
	w.move(event.In, ok)
	second := w.make(event.Out, strings.Replace(get, "17", "18", 1), len(get))
	answer := w.make(event.In, empty, len(empty))
	w.table.Data(&answer)
	require.Len(t, w.sink.done, 1, "the answer waits")
	w.table.Data(&second)
	require.Len(t, w.sink.done, 2)
	require.EqualValues(t, 204, status(w.sink.done[1]))
	require.Equal(t, "/orders/18", path(w.sink.done[1]))
	require.Zero(t, w.counts.Unpaired.Load())
	require.Empty(t, w.table.waiting)
}

// The same with the first call of a connection, of which nothing is known: its answer in any number of pieces.
func TestFirstAnswerRecordedBeforeItsCall(t *testing.T) {
	for _, flags := range []uint8{0, event.MidStream} {
		for _, cut := range []int{0, 20} {
			w := newWire(event.Client)
			w.flags, w.watched, w.ts = flags, second, 5*second
			call := w.make(event.Out, get, len(get))
			for _, part := range []string{ok[:cut], ok[cut:]} {
				if part != "" {
					w.move(event.In, part)
				}
			}
			require.Empty(t, w.sink.done)
			w.table.Data(&call)
			require.Len(t, w.sink.done, 1)
			require.EqualValues(t, 200, status(w.sink.done[0]))
			require.Empty(t, w.table.waiting)
			require.Zero(t, w.counts.GapBytes.Load()+w.counts.MidStreamBytes.Load()+w.counts.Unpaired.Load())
			w.move(event.Out, get)
			w.move(event.In, empty)
			require.Len(t, w.sink.done, 2)
		}
	}
}

// A server that speaks first does so before what the client writes, in whichever order that is recorded.
func TestServerSpeaksFirst(t *testing.T) {
	const greeting = "220 at your service\r\n"
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		w := newWire(event.Client)
		records := []event.Data{
			w.make(event.In, greeting, len(greeting)), w.make(event.Out, get, len(get)), w.make(event.In, ok, len(ok)),
		}
		for _, i := range order {
			w.table.Data(&records[i])
		}
		require.Len(t, w.sink.done, 1, order)
		require.EqualValues(t, 200, status(w.sink.done[0]))
		if w.counts.Duplicates.Load() == 0 { // a greeting after the write that knows of it is passed over
			require.EqualValues(t, len(greeting), w.counts.MidStreamBytes.Load(), order)
		}
		require.Zero(t, w.counts.GapBytes.Load())
		require.Empty(t, w.table.waiting)
	}
}

// What a server says to a client that is silent is not kept.
func TestSilentClient(t *testing.T) {
	w := newWire(event.Client)
	w.move(event.In, "welcome\r\n")
	require.Len(t, w.table.waiting, 1)
	w.table.Tick(w.ts + 3*second)
	require.Empty(t, w.table.waiting)
	w.move(event.In, "news\r\n")
	require.Empty(t, w.table.waiting, "it waited once")
	require.EqualValues(t, len("welcome\r\nnews\r\n"), w.counts.MidStreamBytes.Load())
}

// A read and a write at once: the write found the read's bytes taken, the end of the read found the write's sent.
// In whichever order they are recorded, the read was first.
func TestReadDuringWrite(t *testing.T) {
	for _, readFirst := range []bool{true, false} {
		w := newWire(event.Client)
		w.move(event.Out, strings.Replace(get, "17", "1", 1)+strings.Replace(get, "17", "2", 1))
		read := w.make(event.In, ok, len(ok))
		write := w.make(event.Out, strings.Replace(get, "17", "3", 1), len(get)-1)
		read.OtherSeq += write.Len
		records := []*event.Data{&write, &read}
		if readFirst {
			slices.Reverse(records)
		}
		for _, r := range records {
			w.table.Data(r)
		}
		require.Empty(t, w.table.waiting, "nothing is missing")
		w.move(event.In, empty)
		w.move(event.In, ok)
		require.Len(t, w.sink.done, 3)
		for i, x := range w.sink.done {
			require.Equal(t, fmt.Sprintf("/orders/%d", i+1), path(x))
			require.Equal(t, []int64{200, 204, 200}[i], status(x))
		}
		require.Zero(t, w.counts.GapBytes.Load())
		require.Zero(t, w.counts.Duplicates.Load())
	}
}

// Any order of the records of one exchange, as long as each is there, gives the same exchange.
func TestOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		w := newWire(event.Client)
		w.move(event.Out, get) // the first record of a direction begins its stream
		w.move(event.In, ok)
		var records []event.Data
		for _, part := range []string{get[:10], get[10:]} {
			records = append(records, w.make(event.Out, part, len(part)))
		}
		for _, part := range []string{ok[:5], ok[5:9], ok[9:]} {
			records = append(records, w.make(event.In, part, len(part)))
		}
		rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		for i := range records {
			w.table.Data(&records[i])
		}
		require.Len(t, w.sink.done, 2)
		require.EqualValues(t, 200, status(w.sink.done[1]))
		require.Zero(t, w.counts.GapBytes.Load())
	}
}

// A client that says it sends no more has its FIN counted among what it wrote.
func TestFinIsNoByte(t *testing.T) {
	w := newWire(event.Client)
	w.move(event.Out, get)
	w.out++ // FIN
	w.move(event.In, ok)
	require.Len(t, w.sink.done, 1, "nothing to wait for")
	w.close()
	require.Zero(t, w.counts.GapBytes.Load())
}

func TestGapInABodyKeepsTheExchange(t *testing.T) {
	w := newWire(event.Client)
	w.move(event.Out, get)
	w.move(event.In, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"+strings.Repeat("x", 100))
	w.make(event.In, strings.Repeat("x", 700), 700) // lost
	w.move(event.In, strings.Repeat("x", 200))
	require.Empty(t, w.sink.done, "the missing record may still come")
	w.table.Tick(w.ts + 3*second)
	require.Len(t, w.sink.done, 1)
	require.EqualValues(t, 200, status(w.sink.done[0]))
	require.EqualValues(t, 700, w.counts.GapBytes.Load())
}

// A lost answer must not make the next one answer the wrong request.
func TestLostAnswerIsNotReplaced(t *testing.T) {
	for _, role := range []uint8{event.Client, event.Server} {
		w := newWire(role)
		ask, answer := uint8(event.Out), uint8(event.In)
		if role == event.Server {
			ask, answer = answer, ask
		}
		w.move(ask, strings.Replace(get, "17", "1", 1))
		w.make(answer, ok, len(ok)) // lost
		w.move(ask, strings.Replace(get, "17", "2", 1))
		w.move(answer, empty)
		w.table.Tick(w.ts + 3*second)
		w.close()
		for _, x := range w.sink.done {
			if x.Response != nil {
				require.Equal(t, "/orders/2", path(x), "role %d", role)
				require.EqualValues(t, 204, status(x))
			}
		}
		require.Len(t, w.sink.done, 2, "role %d", role)
	}
}

// A request whose record is lost may be among those that are open. Of those that follow it nothing is said at all, until
// it is known which responses are theirs.
func TestHiddenRequests(t *testing.T) {
	const ping, pong = "*1\r\n$4\r\nPING\r\n", "+PONG\r\n"
	for name, p := range map[string]struct{ ask, answer string }{"http": {get, ok}, "redis": {ping, pong}} {
		for name, tc := range map[string]struct {
			run  func(w *wire, lose func())
			want []bool // overlapped
		}{
			"in the same turn": {func(w *wire, lose func()) {
				lose()
				w.move(event.Out, p.ask)
				w.move(event.In, p.answer+p.answer)
			}, []bool{false}},
			"in a turn before": {func(w *wire, lose func()) {
				lose()
				w.make(event.In, p.answer, len(p.answer))
				w.move(event.Out, p.ask)
				w.move(event.In, p.answer)
			}, []bool{false}},
			"while another is open": {func(w *wire, lose func()) {
				w.move(event.Out, p.ask)
				lose()
				w.move(event.In, p.answer+p.answer)
			}, []bool{false, true}},
		} {
			t.Run(fmt.Sprint(name, ", ", p.ask[:4]), func(t *testing.T) {
				w := newWire(event.Client)
				seen := func() (overlapped []bool) {
					w.table.Tick(w.ts + 3*second)
					for _, x := range w.sink.done {
						overlapped = append(overlapped, x.Overlapped)
						require.False(t, x.Later)
					}
					return overlapped
				}
				w.move(event.Out, p.ask)
				w.move(event.In, p.answer)
				tc.run(w, func() { w.make(event.Out, p.ask, len(p.ask)) })
				got := seen()
				require.Equal(t, tc.want, got)
				for range 3 { // what is certain again when one is answered alone
					w.move(event.Out, p.ask)
					w.move(event.In, p.answer)
				}
				got = seen()
				require.False(t, got[len(got)-1])
			})
		}
		t.Run(name+", at the server end", func(t *testing.T) {
			w := newWire(event.Server)
			w.move(event.In, p.ask)
			w.move(event.Out, p.answer)
			w.make(event.In, p.ask, len(p.ask))
			w.move(event.In, p.ask)
			w.move(event.Out, p.answer+p.answer)
			w.table.Tick(w.ts + 3*second)
			require.Len(t, w.sink.began, 1, "its turn is nobody's")
			w.move(event.In, p.ask)
			w.move(event.Out, p.answer)
			require.Len(t, w.sink.began, 2)
		})
	}
}

// The end of a response is certain when every byte up to it was seen to move.
func TestWhole(t *testing.T) {
	for name, tc := range map[string]struct {
		run  func(w *wire)
		want bool
	}{
		"all seen": {func(w *wire) { w.move(event.Out, ok) }, true},
		"cut": {func(w *wire) {
			d := w.make(event.Out, "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n"+strings.Repeat("x", 90), 60)
			w.table.Data(&d)
		}, true},
		"a part is lost": {func(w *wire) {
			w.move(event.Out, "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n")
			w.make(event.Out, strings.Repeat("x", 40), 40)
			w.move(event.Out, strings.Repeat("x", 50))
		}, false},
		"the end is lost": {func(w *wire) {
			w.move(event.Out, "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n")
			w.make(event.Out, strings.Repeat("x", 90), 90)
			w.move(event.In, get)
		}, false},
		"never answered": {func(w *wire) { w.close() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(event.Server)
			w.move(event.In, get)
			tc.run(w)
			w.table.Tick(w.ts + 3*second)
			require.NotEmpty(t, w.sink.done)
			require.Equal(t, tc.want, w.sink.done[0].Whole)
		})
	}
}

func TestDuplicateBytesAreUsedOnce(t *testing.T) {
	w := newWire(event.Server)
	d := w.make(event.In, get, len(get))
	w.table.Data(&d)
	w.table.Data(&d)
	overlap := w.make(event.In, get, len(get))
	overlap.Seq -= 5
	overlap.Payload = append([]byte("\r\n\r\nX"), []byte(get)...)[:len(get)]
	w.table.Data(&overlap)
	require.EqualValues(t, 2, w.counts.Duplicates.Load())
	require.Len(t, w.sink.began, 1)
}

func TestDerivedPositionsAreCounted(t *testing.T) {
	w := newWire(event.Server)
	d := w.make(event.In, get, len(get))
	d.Flags |= event.SeqDerived
	w.table.Data(&d)
	require.EqualValues(t, 1, w.counts.Derived.Load())
	require.Len(t, w.sink.began, 1)
}

// On a connection that was silent for a while, the first request that is seen is the first one open.
func TestFoundMidStreamAfterSilence(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		w := newWire(event.Server)
		w.flags = event.MidStream
		w.watched = w.ts
		if quiet {
			w.ts += second
		}
		w.move(event.In, get)
		w.move(event.Out, ok)
		require.Equal(t, quiet, len(w.sink.done) == 1)
		w.move(event.In, get)
		w.move(event.Out, ok)
		require.Equal(t, quiet, len(w.sink.done) == 2)
		require.Equal(t, !quiet, len(w.sink.done) == 1, "certain from the second on")
	}
}

// The same where the end of an answer was seen before: a background call was under way when tracing began.
func TestFoundMidStreamInAnAnswer(t *testing.T) {
	for silence, whole := range map[time.Duration]int{0: 1, 400 * time.Millisecond: 1, 600 * time.Millisecond: 2} {
		w := newWire(event.Client)
		w.flags = event.MidStream
		w.watched = w.ts
		w.ts += uint64(450 * time.Millisecond)
		w.move(event.In, ok)
		w.ts += uint64(silence)
		for range 2 {
			w.move(event.Out, get)
			w.move(event.In, ok)
		}
		require.Len(t, w.sink.done, whole, "after %s", silence)
		require.EqualValues(t, len(ok), w.counts.MidStreamBytes.Load())
	}
}

func TestFoundMidStream(t *testing.T) {
	w := newWire(event.Server)
	w.flags = event.MidStream
	w.watched = 1
	w.move(event.In, "rest of a body that began before\r\n")
	w.move(event.Out, ok)
	w.move(event.In, get)
	w.move(event.Out, ok)
	require.Len(t, w.sink.done, 1)
	require.Equal(t, "/orders/17", path(w.sink.done[0]))
	require.NotZero(t, w.counts.MidStreamBytes.Load())
	require.Zero(t, w.counts.UnknownConns.Load())
}

func TestOtherProtocols(t *testing.T) {
	for name, tc := range map[string]struct {
		bytes string
		count func(*Counts) uint64
	}{
		"tls":    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", func(c *Counts) uint64 { return c.TLSConns.Load() }},
		"binary": {"\x00\x01\x02\x03\xff\xfe\xfd", func(c *Counts) uint64 { return c.UnknownConns.Load() }},
		"smtp":   {"EHLO me.example\r\n", func(c *Counts) uint64 { return c.UnknownConns.Load() }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(event.Server)
			for range 10 {
				w.move(event.In, tc.bytes)
				w.move(event.Out, "250 ok\r\n")
			}
			require.EqualValues(t, 1, tc.count(w.counts))
			require.Empty(t, w.sink.done)
			require.Empty(t, w.sink.began)
		})
	}
}

func TestClosedConnection(t *testing.T) {
	w := newWire(event.Client)
	w.move(event.Out, get)
	w.close()
	require.Len(t, w.sink.done, 1)
	require.Equal(t, Broken, w.sink.done[0].Outcome)
	require.Zero(t, w.table.Len())

	w = newWire(event.Client)
	w.move(event.Out, "GET / HTTP/1.0\r\n\r\n")
	w.move(event.In, "HTTP/1.0 200 OK\r\n\r\nuntil the end")
	require.Empty(t, w.sink.done)
	last := w.ts
	w.ts += 60 * second
	w.close()
	require.Len(t, w.sink.done, 1)
	require.Equal(t, Answered, w.sink.done[0].Outcome)
	require.Equal(t, last, w.sink.done[0].End, "the last byte, not the close")
}

func TestPendingIsAnnouncedOnce(t *testing.T) {
	w := newWire(event.Server)
	w.move(event.In, get)
	for i := range uint64(5) {
		w.table.Tick(w.ts + (9+2*i)*second)
	}
	require.Len(t, w.sink.done, 1)
	require.True(t, w.sink.done[0].Pending)
	w.move(event.Out, ok)
	require.Len(t, w.sink.done, 2)
	require.False(t, w.sink.done[1].Pending)
	require.Equal(t, w.sink.done[0].Epoch, w.sink.done[1].Epoch)
}

func TestConnectionsAreBounded(t *testing.T) {
	w := newWire(event.Server)
	for i := range 250 {
		w.conn = uint64(i + 1)
		w.in, w.out = isn, isn+7
		w.move(event.In, get)
	}
	require.LessOrEqual(t, w.table.Len(), 100)
	require.EqualValues(t, 150, w.counts.ForgottenConns.Load())
	require.Len(t, w.sink.done, 150, "what was open is reported")
	w.table.Tick(w.ts + uint64(3*time.Hour))
	require.NotZero(t, w.table.Len(), "open exchanges are kept")
}

// Bytes and sequence numbers of any kind: no panic, bounded memory, sane exchanges.
func FuzzTable(f *testing.F) {
	f.Add([]byte("\x00\x00\x20" + get + "\x01\x00\x20" + ok))
	f.Fuzz(func(t *testing.T, script []byte) {
		w := newWire(event.Server)
		for len(script) > 3 {
			op, jump, n := script[0], script[1], int(script[2])
			script = script[3:]
			n = min(n, len(script))
			if n == 0 {
				continue
			}
			d := w.make(op&1, string(script[:n]), n/(1+int(op>>6)))
			script = script[n:]
			if op&2 != 0 {
				d.Seq += uint32(jump) - 128
			}
			if op&4 != 0 {
				d.OtherSeq += uint32(jump)
			}
			if op&8 != 0 {
				w.table.Tick(w.ts + uint64(jump)*second)
			}
			w.table.Data(&d)
			for _, c := range w.table.conns {
				if len(c.parked) > maxParked || c.bytes > maxParkedBytes || len(c.open) > maxOpen {
					t.Fatalf("parked %d, %d bytes, open %d", len(c.parked), c.bytes, len(c.open))
				}
			}
		}
		w.close()
		for _, x := range w.sink.done {
			if x.End < x.Start || x.Request == nil {
				t.Fatalf("%+v", x)
			}
		}
	})
}

func BenchmarkExchange(b *testing.B) {
	w := newWire(event.Server)
	w.sink.began = nil
	req, resp := w.make(event.In, get, len(get)), w.make(event.Out, ok, len(ok))
	b.ReportAllocs()
	for b.Loop() {
		w.table.Data(&req)
		w.table.Data(&resp)
		req.Seq += req.Len
		req.OtherSeq += resp.Len
		resp.Seq += resp.Len
		resp.OtherSeq += req.Len
		w.sink.began, w.sink.done = w.sink.began[:0], w.sink.done[:0]
	}
}
