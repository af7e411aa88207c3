package ebpfspanreceiver

import (
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
)

// missing remembers what could not be attached or read for a service, and is said again with what it
// cost: calls that are linked to no request.
type missing struct {
	mu    sync.Mutex // guards parts
	parts map[string][]string
}

// Bounds of what is remembered.
const (
	maxMissingServices = 100
	maxMissingParts    = 8
)

// note says that a part of the support of a runtime is not there, in the words of a log line: "the probe
// of runtime.send". It may be called again for the same.
func (m *missing) note(service, part string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	have := m.parts[service]
	if slices.Contains(have, part) || len(have) >= maxMissingParts || have == nil && len(m.parts) >= maxMissingServices {
		return
	}
	if m.parts == nil {
		m.parts = map[string][]string{}
	}
	m.parts[service] = append(have, part)
}

func (m *missing) of(service string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.parts[service])
}

// unlinked are the calls of which it is not known whether they belong to a request.
func unlinked(s *causality.ServiceCounts) (n uint64) {
	for o := range s.Outcomes {
		switch causality.Outcome(o) {
		case causality.Linked, causality.Late, causality.Uncounted:
		default:
			n += s.Outcomes[o].Load()
		}
	}
	return n
}

// recallReport warns of services whose calls stay without a request, where the cause is known.
func (r *ebpfReceiver) recallReport() {
	for _, s := range r.counts.causality.Services() {
		n, parts := unlinked(s), r.counts.missing.of(s.Service)
		if n > 0 && len(parts) > 0 {
			r.log.Warn("Calls of a service are linked to no request, or were made by none. Something is missing that would tell",
				zap.String("service.name", s.Service), zap.Uint64("calls", n), zap.Strings("missing", parts))
		}
	}
}
