package causality

import (
	"slices"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/event"
)

// contexts finds whom execution contexts work for which are made for a task and are gone with it (those of
// Python, not goroutines or threads): a context that answers a request was serving it all the while, and
// one that it made serves it as well. That is known only when the response was sent.
//
// A context that answers requests of several connections serves nobody: it accepts, or writes for others.
type contexts struct {
	origins, oldOrigins map[Writer]origin
	served, oldServed   map[Writer]service1
	turned              uint64
}
