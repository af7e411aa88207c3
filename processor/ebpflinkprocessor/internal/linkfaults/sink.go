package main

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// sink is what the Collector sends to: an OTLP receiver that writes everything in a ledger before it
// says yes.
type sink struct {
	ptraceotlp.UnimplementedGRPCServer
	ledger   *ledger
	server   *grpc.Server
	endpoint string
	refusing atomic.Bool
	refused  atomic.Int64
	busy     atomic.Int64
}

func startSink(l *ledger) (*sink, error) {
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{ledger: l, server: grpc.NewServer(grpc.MaxRecvMsgSize(256 << 20)), endpoint: at.Addr().String()}
	ptraceotlp.RegisterGRPCServer(s.server, s)
	go func() { _ = s.server.Serve(at) }()
	return s, nil
}

// Export is the OTLP service.
func (s *sink) Export(_ context.Context, r ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	s.busy.Add(1)
	defer s.busy.Add(-1)
	if s.refusing.Load() {
		s.refused.Add(1)
		return ptraceotlp.NewExportResponse(), status.Error(codes.Unavailable, "refusing for a while")
	}
	s.ledger.deliver(r.Traces())
	return ptraceotlp.NewExportResponse(), nil
}

// quiet waits until what a killed Collector sent has been read.
func (s *sink) quiet() {
	for calm := 0; calm < 4; {
		before := s.ledger.count()
		time.Sleep(25 * time.Millisecond)
		if s.busy.Load() == 0 && s.ledger.count() == before {
			calm++
		} else {
			calm = 0
		}
	}
}
