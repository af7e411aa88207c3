package event

import (
	"errors"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
)

// record lays a fixed part and a payload out as the ring buffer does.
func record[T any](v T, payload string) []byte {
	b := append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v))...)
	b = append(b, payload...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

func dataRecord(mutate func(*bpf.SocketDataEvent), payload string) []byte {
	d := bpf.SocketDataEvent{
		Kind: uint8(KindData), Dir: Out, Role: Client, Tgid: 7, Seq: 100, Len: uint32(len(payload)),
		Captured: uint32(len(payload)), Lport: 4000, Rport: 80,
	}
	copy(d.Laddr[:], []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1})
	if mutate != nil {
		mutate(&d)
	}
	return record(d, payload)
}

func TestDecodeData(t *testing.T) {
	var e Event
	require.NoError(t, Decode(dataRecord(nil, "GET /"), &e))
	require.Equal(t, KindData, e.Kind)
	require.Equal(t, "GET /", string(e.Data.Payload))
	require.Equal(t, uint32(7), e.Data.Tgid)
	require.Equal(t, "127.0.0.1:4000", e.Data.Local().String())
	require.Equal(t, "[::]:80", e.Data.Peer().String())
}

func TestDecodeEvidenceOfData(t *testing.T) {
	var e Event
	require.NoError(t, Decode(dataRecord(func(d *bpf.SocketDataEvent) {
		d.Evidence, d.Epoch, d.Turn, d.Ts = 1, 5, 6, 8
	}, "GET /"), &e))
	require.Equal(t, KindData, e.Kind)
	require.Equal(t, Evidence{Kind: uint8(KindEvidence), What: 1, Tgid: 7, Ts: 8, Call: 6, Epoch: 5}, e.Evidence)

	require.NoError(t, Decode(dataRecord(nil, "GET /"), &e))
	require.Zero(t, e.Evidence, "that of the record before")
}

func TestDecodeRefuses(t *testing.T) {
	whole := dataRecord(nil, "GET /")
	for name, raw := range map[string][]byte{
		"empty":                  {},
		"unknown kind":           {9, 0, 0, 0},
		"short data":             whole[:40],
		"short conn":             {byte(KindConn), 1, 0},
		"short evidence":         {byte(KindEvidence)},
		"short process":          {byte(KindProcess)},
		"short async":            {byte(KindAsync), 1},
		"payload beyond record":  dataRecord(func(d *bpf.SocketDataEvent) { d.Captured, d.Len = 4096, 4096 }, "GET /"),
		"captured more than len": dataRecord(func(d *bpf.SocketDataEvent) { d.Len = 2 }, "GET /"),
		"direction":              dataRecord(func(d *bpf.SocketDataEvent) { d.Dir = 3 }, "GET /"),
		"role":                   dataRecord(func(d *bpf.SocketDataEvent) { d.Role = 0 }, "GET /"),
		"no bytes":               dataRecord(func(d *bpf.SocketDataEvent) { d.Len, d.Captured = 0, 0 }, ""),
	} {
		t.Run(name, func(t *testing.T) {
			var e Event
			require.ErrorIs(t, Decode(raw, &e), ErrMalformed)
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(dataRecord(nil, "GET / HTTP/1.1\r\n\r\n"))
	f.Add(record(bpf.SocketConnEvent{Kind: uint8(KindConn), What: Closed}, ""))
	f.Add(record(bpf.SocketEvidenceEvent{Kind: uint8(KindEvidence), What: 1}, ""))
	f.Add(record(bpf.SocketProcessEvent{Kind: uint8(KindProcess), What: Exec}, ""))
	f.Add(record(bpf.SocketAsyncEvent{Kind: uint8(KindAsync), What: AsyncCall}, ""))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e Event
		err := Decode(raw, &e)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("unclassified error %v", err)
			}
			return
		}
		if e.Kind == KindData && (uint32(len(e.Data.Payload)) != e.Data.Captured || e.Data.Captured > e.Data.Len) {
			t.Fatalf("payload of %d bytes, captured %d, len %d", len(e.Data.Payload), e.Data.Captured, e.Data.Len)
		}
	})
}

func TestClock(t *testing.T) {
	// The second reading is preempted for 5 ms between its two clocks and must lose.
	script := [][2]int64{{100, 1000}, {101, 1001}, {200, 5_001_100}, {5_000_201, 0}, {300, 1202}, {303, 0}}
	c := &Clock{read: func() (int64, int64) {
		s := script[0]
		script = script[1:]
		return s[0], s[1]
	}}
	c.Adjust()
	require.Equal(t, uint64(1900), c.Wall(1000))

	now := NewClock()
	mono, wall := readClocks()
	require.InDelta(t, float64(wall), float64(now.Wall(uint64(mono))), 1e7)
}

func BenchmarkDecode(b *testing.B) {
	raw := dataRecord(nil, "GET /orders/17 HTTP/1.1\r\nHost: shop\r\n\r\n")
	var e Event
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if err := Decode(raw, &e); err != nil {
			b.Fatal(err)
		}
	}
}
