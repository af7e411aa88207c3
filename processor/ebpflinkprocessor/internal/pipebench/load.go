package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// streams is how many requests are under way at once: enough that the Collector never waits for us.
const streams = 8

// raw hands prebuilt bytes to gRPC as they are: encoding would cost more than the pipelines measured.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (raw) Name() string                       { return "proto" }

// loader sends requests as an OTLP client does, again when it is told to.
type loader struct {
	conn    *grpc.ClientConn
	retries atomic.Int64
}

func dial(endpoint string) (*loader, error) {
	c, err := grpc.NewClient("passthrough:///"+endpoint,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.WaitForReady(true)),
		grpc.WithInitialWindowSize(4<<20), grpc.WithInitialConnWindowSize(16<<20))
	if err != nil {
		return nil, err
	}
	return &loader{conn: c}, nil
}

func (l *loader) close() error { return l.conn.Close() }

// send sends each request until it is accepted.
func (l *loader) send(ctx context.Context, rs []request) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, streams)
	for range streams {
		wg.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(rs) {
					return
				}
				if err := l.one(ctx, rs[n].body); err != nil {
					next.Store(int64(len(rs)))
					errs <- fmt.Errorf("request %d: %w", n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func (l *loader) one(ctx context.Context, body []byte) error {
	for {
		var reply []byte
		err := l.conn.Invoke(ctx, exportMethod, &body, &reply)
		switch status.Code(err) {
		case codes.OK:
			return nil
		case codes.Unavailable, codes.ResourceExhausted, codes.Aborted:
			l.retries.Add(1)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(50 * time.Millisecond):
			}
		default:
			return err
		}
	}
}
