package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// load sends blocks through clients of the OpenTelemetry SDK, which retry what is refused or not
// answered, until told to stop. A request that failed for good stays unacknowledged.
type load struct {
	ledger  *ledger
	clients []otlptrace.Client
	pause   time.Duration
	body    int
	next    atomic.Int64
	failed  atomic.Int64
	stopped atomic.Bool
	running sync.WaitGroup
	// patience ends when the clients shall give up.
	patience context.Context
	cancel   context.CancelFunc
}

const senders = 3

// startLoad begins to send to endpoint, each sender a block every pause, its spans with so many bytes.
func startLoad(endpoint string, l *ledger, pause time.Duration, body int) (*load, error) {
	ld := &load{ledger: l, pause: pause, body: body}
	ld.patience, ld.cancel = context.WithCancel(context.Background())
	for range senders {
		c := otlptracegrpc.NewClient(
			otlptracegrpc.WithEndpoint(endpoint), otlptracegrpc.WithInsecure(),
			otlptracegrpc.WithTimeout(10*time.Minute),
			otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
				Enabled: true, InitialInterval: 20 * time.Millisecond, MaxInterval: 300 * time.Millisecond, MaxElapsedTime: 10 * time.Minute,
			}),
			otlptracegrpc.WithDialOption(grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond},
				MinConnectTimeout: 5 * time.Second,
			})),
		)
		if err := c.Start(ld.patience); err != nil {
			return nil, err
		}
		ld.clients = append(ld.clients, c)
		ld.running.Go(func() { ld.send(c) })
	}
	return ld, nil
}

func (ld *load) send(c otlptrace.Client) {
	// What the agent of one host is slow to send comes after the rest of its traces has left.
	var late []request
	for !ld.stopped.Load() && ld.patience.Err() == nil {
		b := block{int(ld.next.Add(1) - 1), ld.body}
		rs, err := b.requests(time.Now())
		if err != nil {
			panic(err)
		}
		ld.ledger.grow((b.n + 1) * blockSpans)
		if b.n%20 == 7 {
			rs, late = rs[1:], append(late, rs[0])
		}
		if len(late) > 5 {
			rs, late = append(rs, late[0]), late[1:]
		}
		for _, r := range rs {
			ld.upload(c, r)
		}
		time.Sleep(ld.pause/2 + rand.N(ld.pause))
	}
	for _, r := range late {
		ld.upload(c, r)
	}
}

func (ld *load) upload(c otlptrace.Client, r request) {
	if err := c.UploadTraces(ld.patience, r.message); err != nil {
		ld.failed.Add(1)
		return
	}
	ld.ledger.acknowledge(r.spans)
}

// stop lets each sender finish what it sends.
func (ld *load) stop() {
	ld.stopped.Store(true)
	ld.running.Wait()
	for _, c := range ld.clients {
		_ = c.Stop(ld.patience)
	}
	ld.cancel()
}
