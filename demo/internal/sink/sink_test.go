package sink

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/span"
)

func batch(t *testing.T, names ...string) []byte {
	t.Helper()
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "catalog")
	spans := rs.ScopeSpans().AppendEmpty().Spans()
	for _, n := range names {
		s := spans.AppendEmpty()
		s.SetName("GET")
		s.SetKind(ptrace.SpanKindServer)
		s.Attributes().PutStr("url.path", n)
		s.Attributes().PutDouble("ebpf.link.confidence", 0.5)
		s.Attributes().PutEmptySlice("ebpf.link.hint").AppendEmpty().SetStr("channel")
		s.Attributes().PutInt("network.peer.port", 77)
	}
	b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	require.NoError(t, err)
	return b
}

func zip(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(b)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return out.Bytes()
}

func frame(compressed byte, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{compressed}, uint32(len(b))), b...)
}

func listen(t *testing.T) *Sink {
	t.Helper()
	s, err := Listen()
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestHTTP(t *testing.T) {
	s := listen(t)
	post := func(contentType, encoding string, body []byte) int {
		req, err := http.NewRequest(http.MethodPost, "http://"+s.Addr()+"/v1/traces", bytes.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Content-Encoding", encoding)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	const pb = "application/x-protobuf"
	require.Equal(t, 200, post(pb, "", batch(t, "/a", "/b")))
	require.Equal(t, 200, post(pb, "gzip", zip(t, batch(t, "/c"))))
	require.Equal(t, 415, post("application/json", "", []byte("{}")))
	require.Equal(t, 415, post(pb, "zstd", batch(t, "/d")))
	require.Equal(t, 400, post(pb, "", []byte("hello")))
	require.Equal(t, 400, post(pb, "gzip", batch(t, "/d")))
	require.Equal(t, 400, post(pb, "gzip", zip(t, make([]byte, maxBody+1))), "a small body that grows")

	got := s.Spans()
	require.Len(t, got, 3)
	require.Equal(t, "/c", got[2].Path)
	require.Equal(t, "catalog SERVER", got[2].Service+" "+got[2].Kind)
	require.Equal(t, []string{"channel"}, got[2].Hints)
	require.Equal(t, 0.5, got[2].Confidence)
	require.Equal(t, int64(77), got[2].PeerPort)
	require.Equal(t, map[string]int{"content_type": 1, "encoding": 1, "invalid": 1, "unreadable": 2}, s.Refused())
}

func TestGRPC(t *testing.T) {
	s := listen(t)
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: &p}}
	export := func(encoding string, body []byte) string {
		req, err := http.NewRequest(http.MethodPost, "http://"+s.Addr()+grpcPath, bytes.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Grpc-Encoding", encoding)
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		status := resp.Trailer.Get("Grpc-Status")
		if status == grpcOK {
			require.Equal(t, make([]byte, 5), answer)
		}
		return status
	}
	require.Equal(t, grpcOK, export("identity", frame(0, batch(t, "/a"))))
	require.Equal(t, grpcOK, export("gzip", frame(1, zip(t, batch(t, "/b")))))
	require.Equal(t, grpcUnimplemented, export("snappy", frame(1, batch(t, "/c"))))
	require.Equal(t, grpcInvalid, export("", frame(0, []byte("hello"))))
	require.Equal(t, grpcInvalid, export("", []byte{0, 0}))
	require.Equal(t, grpcInvalid, export("", frame(0, nil)[:0]))
	require.Equal(t, grpcInvalid, export("", []byte{0, 0xff, 0xff, 0xff, 0xff, 1}))
	require.Len(t, s.Spans(), 2)
}

func TestWait(t *testing.T) {
	s := listen(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	go func() {
		for range 3 {
			_ = s.accept(batch(t, "/a"))
			time.Sleep(20 * time.Millisecond)
		}
	}()
	require.NoError(t, s.Wait(ctx, func(got []span.Span) bool { return len(got) == 3 }))

	short, stop := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer stop()
	require.ErrorIs(t, s.Wait(short, func([]span.Span) bool { return false }), context.DeadlineExceeded)
}
