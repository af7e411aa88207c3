// Package sink is an OTLP trace receiver on loopback that keeps what it gets: OTLP/HTTP with
// protobuf bodies and OTLP/gRPC on the same port, so any collector configuration can export to it.
// (https://opentelemetry.io/docs/specs/otlp/ sections "OTLP/HTTP" and "OTLP/gRPC".)
package sink

import (
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/span"
)

const (
	maxBody  = 64 << 20 // bytes of one request, decompressed
	maxSpans = 1 << 20  // kept in all; more is refused, not dropped
	httpPath = "/v1/traces"
	grpcPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
)

// Status codes of gRPC that the sink answers with.
const (
	grpcOK, grpcInvalid, grpcExhausted, grpcUnimplemented = "0", "3", "8", "12"
)

// Sink is a running receiver.
type Sink struct {
	ln  net.Listener
	srv *http.Server

	mu      sync.Mutex // guards the fields below
	spans   []span.Span
	refused map[string]int // requests not accepted, by reason
	grown   chan struct{}  // closed and replaced at each arrival
}

// Listen starts a receiver on a free port of 127.0.0.1.
func Listen() (*Sink, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("OTLP sink: listen on 127.0.0.1: %w", err)
	}
	s := &Sink{ln: ln, refused: map[string]int{}, grown: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+httpPath, s.overHTTP)
	mux.HandleFunc("POST "+grpcPath, s.overGRPC)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC without TLS
	s.srv = &http.Server{Handler: mux, Protocols: &protocols, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.srv.Serve(ln) }()
	return s, nil
}

// Addr is host:port.
func (s *Sink) Addr() string { return s.ln.Addr().String() }

// Close stops the receiver.
func (s *Sink) Close() error { return s.srv.Close() }

// Spans is a copy of everything received so far.
func (s *Sink) Spans() []span.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]span.Span(nil), s.spans...)
}

// Refused counts the requests not accepted, by reason.
func (s *Sink) Refused() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.refused))
	for k, v := range s.refused {
		out[k] = v
	}
	return out
}

// Wait returns when spans satisfies done, which is asked after each arrival, or ctx ends.
func (s *Sink) Wait(ctx context.Context, done func([]span.Span) bool) error {
	for {
		s.mu.Lock()
		grown := s.grown
		s.mu.Unlock()
		if done(s.Spans()) {
			return nil
		}
		// A burst of batches is looked at once.
		pause := time.NewTimer(100 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var (
	errFull    = errors.New("the sink holds its maximum of spans")
	errTooBig  = errors.New("body larger than the sink accepts")
	errInvalid = errors.New("not an OTLP trace request")
)

// accept stores one ExportTraceServiceRequest. Its wire form is that of TracesData: field 1 holds
// the resource spans in both.
func (s *Sink) accept(body []byte) error {
	td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(body)
	if err != nil {
		return s.refuse("invalid", fmt.Errorf("%w: %w", errInvalid, err))
	}
	flat := span.FromTraces(td)
	now := time.Now()
	for i := range flat {
		flat[i].Arrived = now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.spans)+len(flat) > maxSpans {
		s.refused["full"]++
		return errFull
	}
	s.spans = append(s.spans, flat...)
	close(s.grown)
	s.grown = make(chan struct{})
	return nil
}

func (s *Sink) refuse(reason string, err error) error {
	s.mu.Lock()
	s.refused[reason]++
	s.mu.Unlock()
	return err
}

// read returns the whole of r, decompressed when zipped, within maxBody.
func read(r io.Reader, zipped bool) ([]byte, error) {
	if zipped {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("%w: gzip: %w", errInvalid, err)
		}
		r = z
	}
	b, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	if len(b) > maxBody {
		return nil, errTooBig
	}
	return b, nil
}

func (s *Sink) overHTTP(w http.ResponseWriter, r *http.Request) {
	if ct := r.Header.Get("Content-Type"); ct != "application/x-protobuf" {
		_ = s.refuse("content_type", nil)
		http.Error(w, "this sink reads application/x-protobuf, not "+ct, http.StatusUnsupportedMediaType)
		return
	}
	encoding := r.Header.Get("Content-Encoding")
	if encoding != "" && encoding != "gzip" && encoding != "identity" {
		_ = s.refuse("encoding", nil)
		http.Error(w, "this sink reads gzip or plain bodies, not "+encoding, http.StatusUnsupportedMediaType)
		return
	}
	body, err := read(r.Body, encoding == "gzip")
	if err != nil {
		err = s.refuse("unreadable", err)
	} else {
		err = s.accept(body)
	}
	switch {
	case errors.Is(err, errFull):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		// An empty body is an ExportTraceServiceResponse with nothing rejected.
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.WriteHeader(http.StatusOK)
	}
}

// overGRPC answers the one unary call of OTLP: a message is a compression byte, a 32-bit length and
// the bytes; the status travels in trailers (gRPC over HTTP/2, "Responses").
func (s *Sink) overGRPC(w http.ResponseWriter, r *http.Request) {
	status, text := grpcOK, ""
	var head [5]byte
	encoding := r.Header.Get("Grpc-Encoding")
	if _, err := io.ReadFull(r.Body, head[:]); err != nil {
		status, text = grpcInvalid, s.refuse("unreadable", err).Error()
	} else if head[0] == 1 && encoding != "gzip" {
		status, text = grpcUnimplemented, s.refuse("encoding", fmt.Errorf("this sink reads gzip or plain messages, not %q", encoding)).Error()
	} else if n := binary.BigEndian.Uint32(head[1:]); n > maxBody {
		status, text = grpcInvalid, s.refuse("unreadable", errTooBig).Error()
	} else if body, err := read(io.LimitReader(r.Body, int64(n)), head[0] == 1); err != nil {
		status, text = grpcInvalid, s.refuse("unreadable", err).Error()
	} else if err := s.accept(body); errors.Is(err, errFull) {
		status, text = grpcExhausted, err.Error()
	} else if err != nil {
		status, text = grpcInvalid, err.Error()
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
	w.WriteHeader(http.StatusOK)
	if status == grpcOK {
		_, _ = w.Write(make([]byte, 5)) // an empty response message
	}
	w.Header().Set("Grpc-Status", status)
	w.Header().Set("Grpc-Message", strings.ReplaceAll(text, "\n", " "))
}
