package protocol

import (
	"bytes"
	"fmt"
	"testing"
)

// silent is a sink that costs nothing, and counts.
type silent struct{ begins, heads, ends, skips int }

func (s *silent) Begin(Direction, uint64)           { s.begins++ }
func (s *silent) Head(Direction, uint64, *Message)  { s.heads++ }
func (s *silent) End(Direction, uint64, Completion) { s.ends++ }
func (s *silent) Skip(Direction, int, Reason)       { s.skips++ }

func whole(data string) Chunk { return Chunk{Data: []byte(data), Len: len(data)} }

func BenchmarkHTTP1Exchange(b *testing.B) {
	request := whole("GET /api/v1/orders/42?page=1 HTTP/1.1\r\nHost: orders.example:8080\r\nUser-Agent: Go-http-client/1.1\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\nX-Request-Id: 5f0c4d1e-8c5f-4f7b-9a55-0a0c0d2b7c11\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n")
	response := whole("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 27\r\n\r\n{\"id\":42,\"state\":\"shipped\"}")
	sink := &silent{}
	s := HTTP1.New(Options{}, sink)
	b.SetBytes(int64(request.Len + response.Len))
	b.ReportAllocs()
	for b.Loop() {
		s.Feed(Request, request)
		s.Feed(Response, response)
	}
	if sink.ends != 2*b.N || sink.skips != 0 {
		b.Fatalf("%+v after %d exchanges", *sink, b.N)
	}
}

// A body of which the capture holds the first bytes of each write: nothing may be allocated.
func BenchmarkHTTP1BodySkip(b *testing.B) {
	sink := &silent{}
	s := HTTP1.New(Options{}, sink)
	s.Feed(Request, whole("POST /upload HTTP/1.1\r\nContent-Length: 4000000000000000000\r\n\r\n"))
	c := Chunk{Data: make([]byte, 256), Len: 64 << 10}
	b.SetBytes(int64(c.Len))
	b.ReportAllocs()
	for b.Loop() {
		s.Feed(Request, c)
	}
	if sink.ends != 0 || sink.skips != 0 {
		b.Fatalf("%+v", *sink)
	}
}

func BenchmarkHTTP1Chunked(b *testing.B) {
	sink := &silent{}
	s := HTTP1.New(Options{}, sink)
	s.Feed(Request, whole("POST /upload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"))
	c := whole("1000\r\n" + string(bytes.Repeat([]byte("x"), 4096)) + "\r\n")
	b.SetBytes(int64(c.Len))
	b.ReportAllocs()
	for b.Loop() {
		s.Feed(Request, c)
	}
	if sink.ends != 0 || sink.skips != 0 {
		b.Fatalf("%+v", *sink)
	}
}

func BenchmarkRedisPipeline(b *testing.B) {
	const commands = 16
	var request, response bytes.Buffer
	for i := range commands {
		fmt.Fprintf(&request, "*3\r\n$3\r\nSET\r\n$6\r\nkey:%02d\r\n$10\r\n0123456789\r\n", i)
		response.WriteString("+OK\r\n")
	}
	ask, answer := whole(request.String()), whole(response.String())
	sink := &silent{}
	s := Redis.New(Options{}, sink)
	b.SetBytes(int64(ask.Len + answer.Len))
	b.ReportAllocs()
	for b.Loop() {
		s.Feed(Request, ask)
		s.Feed(Response, answer)
	}
	if sink.ends != 2*commands*b.N || sink.skips != 0 {
		b.Fatalf("%+v after %d pipelines of %d", *sink, b.N, commands)
	}
}

func BenchmarkRedisBulkSkip(b *testing.B) {
	sink := &silent{}
	s := Redis.New(Options{}, sink)
	c := Chunk{Data: make([]byte, 256), Len: 64 << 10}
	b.SetBytes(int64(c.Len))
	b.ReportAllocs()
	fed := 0
	for b.Loop() {
		if fed%(1<<24) == 0 { // a bulk string may have 1 TiB
			s = Redis.New(Options{}, sink)
			s.Feed(Request, whole("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1099511627776\r\n"))
		}
		fed++
		s.Feed(Request, c)
	}
	if sink.ends != 0 || sink.skips != 0 {
		b.Fatalf("%+v", *sink)
	}
}

// Bytes of a body that are counted and not kept must cost no memory, whatever the machine's speed.
func TestSkippedBytesAllocateNothing(t *testing.T) {
	for name, p := range map[string]struct {
		protocol Protocol
		head     string
		chunk    Chunk
	}{
		"http length":  {HTTP1, "POST / HTTP/1.1\r\nContent-Length: 4000000000000000000\r\n\r\n", Chunk{Data: make([]byte, 100), Len: 1000}},
		"http chunked": {HTTP1, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", whole("a\r\n0123456789\r\n")},
		"http unknown": {HTTP1, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nff", Chunk{Data: []byte("xx"), Len: 5}},
		"redis bulk":   {Redis, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1099511627776\r\n", Chunk{Data: make([]byte, 100), Len: 1000}},
		"garbage":      {HTTP1, "", whole("\x00\x01\x02")},
	} {
		s := p.protocol.New(Options{}, &silent{})
		s.Feed(Request, whole(p.head))
		if n := testing.AllocsPerRun(100, func() { s.Feed(Request, p.chunk) }); n != 0 {
			t.Errorf("%s: %v allocations for each chunk", name, n)
		}
	}
}

// A thousand requests without a response are all that is kept; the session then refuses, and says so.
func TestOutstandingRequestsAreBounded(t *testing.T) {
	for _, c := range []struct {
		protocol Protocol
		request  string
	}{
		{HTTP1, "GET / HTTP/1.1\r\n\r\n"},
		{Redis, "*1\r\n$4\r\nPING\r\n"},
	} {
		sink := newJournal()
		s := c.protocol.New(Options{}, sink)
		const extra = 10
		for range maxOutstanding + extra {
			sink.feed(s, Request, whole(c.request))
		}
		if sink.ended[Request] != maxOutstanding {
			t.Errorf("%s: %d requests, want %d", c.protocol.Name, sink.ended[Request], maxOutstanding)
		}
		if sink.skips[Request][Overflow] != extra*len(c.request) {
			t.Errorf("%s: skips %v", c.protocol.Name, sink.skips)
		}
		for _, f := range sink.faults {
			t.Error(f)
		}
	}
}
