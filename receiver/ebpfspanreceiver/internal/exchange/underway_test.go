package exchange

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

func (w *wire) underWay() (out []UnderWay) {
	w.table.UnderWay(42, func(u *UnderWay) { out = append(out, *u) })
	return out
}

// What has begun at a client end is under way until it is done, also when nobody knows yet what it is.
func TestUnderWay(t *testing.T) {
	w := newWire(event.Client)
	require.Empty(t, w.underWay())
	w.move(event.Out, get[:2])
	require.Equal(t, []UnderWay{{Start: w.ts}}, w.underWay(), "before the protocol is known")
	first := w.ts
	w.move(event.Out, get[2:20])
	require.Equal(t, first, w.underWay()[0].Start, "before the head is there")
	w.move(event.Out, get[20:])
	require.Equal(t, []UnderWay{{Turn: w.turn, Tid: 43, Start: first}}, w.underWay())
	w.move(event.In, ok[:10])
	require.Len(t, w.underWay(), 1)
	w.move(event.In, ok[10:])
	require.Empty(t, w.underWay())

	w.make(event.Out, get, len(get)) // missing, and may come
	late := w.make(event.Out, get, len(get))
	w.table.Data(&late)
	require.Equal(t, []UnderWay{{Start: late.Ts}}, w.underWay(), "out of order")
	require.Empty(t, w.sink.unread)
	w.table.Tick(w.ts + 3*second)
	require.NotEmpty(t, w.sink.unread, "it did not come")
	w.close()
	require.Empty(t, w.underWay())
	require.Empty(t, w.table.busy)

	server := newWire(event.Server)
	server.move(event.In, get)
	require.Empty(t, server.underWay(), "what it serves is no call")
}

func TestUnread(t *testing.T) {
	const hello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	for name, tt := range map[string]struct {
		role uint8
		play func(w *wire)
		want int // at least
	}{
		"all understood":     {event.Client, func(w *wire) { w.move(event.Out, get); w.move(event.In, ok); w.close() }, 0},
		"pipelined":          {event.Client, func(w *wire) { w.move(event.Out, get+get); w.move(event.In, ok+ok); w.close() }, 0},
		"never answered":     {event.Client, func(w *wire) { w.move(event.Out, get); w.close() }, 0},
		"encrypted":          {event.Client, func(w *wire) { w.move(event.Out, hello); w.move(event.In, hello); w.move(event.Out, "x") }, 3},
		"encrypted, served":  {event.Server, func(w *wire) { w.move(event.In, hello); w.move(event.Out, hello) }, 0},
		"not recognised yet": {event.Client, func(w *wire) { w.move(event.Out, get[:2]); w.close() }, 1},
		"the server begins":  {event.Client, func(w *wire) { w.move(event.In, "220 ready\r\n") }, 1},
		"a gap": {event.Client, func(w *wire) {
			w.move(event.Out, get)
			w.move(event.In, ok)
			w.make(event.Out, get, 9)
			w.move(event.In, ok)
			w.table.Tick(w.ts + 3*second)
		}, 1},
		"a response to nothing": {event.Client, func(w *wire) { w.move(event.Out, get); w.move(event.In, ok+ok) }, 1},
		"garbage after": {event.Client, func(w *wire) {
			w.move(event.Out, get)
			w.move(event.In, ok)
			w.move(event.Out, "\x00\x01\x02\x03\x04\x05")
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(tt.role)
			tt.play(w)
			if tt.want == 0 {
				require.Empty(t, w.sink.unread)
			} else {
				require.GreaterOrEqual(t, len(w.sink.unread), tt.want)
			}
			for _, u := range w.sink.unread {
				require.LessOrEqual(t, u[0], u[1])
			}
		})
	}
}
