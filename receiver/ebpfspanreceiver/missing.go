//go:build linux

package ebpfspanreceiver

import (
	"context"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
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

// hooks notes those of the kernel that are not there, for a service that would need them.
func (m *missing) hooks(service string, all []probe.Status) {
	for _, s := range all {
		if s.Links != "" {
			m.note(service, "the hook "+s.Hook+": "+s.Links)
		}
	}
}

func (m *missing) of(service string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.parts[service])
}

// each calls f with every service of which something is missing.
func (m *missing) each(f func(service string, parts []string)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for service, parts := range m.parts {
		f(service, parts)
	}
}

// unlinked are the calls of which it is not known whether they belong to a request, of all.
func unlinked(s *causality.ServiceCounts) (n, all uint64) {
	for o := range s.Outcomes {
		calls := s.Outcomes[o].Load()
		if all += calls; causality.Outcome(o).Unlinked() {
			n += calls
		}
	}
	return n, all
}

// saidAgain is how many times as many calls there are when something that is missing is said once more.
const saidAgain = 10

// recallReport warns of services whose calls stay without a request, where the cause is known: when it is first seen,
// when it has grown, and at the end.
func (r *ebpfReceiver) recallReport(end bool) {
	for _, s := range r.counts.causality.Services() {
		n, all := unlinked(s)
		if n == 0 || !end && n < saidAgain*r.said[s.Service] {
			continue
		}
		parts := r.counts.missing.of(s.Service)
		if len(parts) == 0 {
			continue
		}
		if r.said == nil {
			r.said = map[string]uint64{}
		}
		r.said[s.Service] = n
		r.log.Warn("Calls of a service are linked to no request, or were made by none. Something is missing that would tell",
			zap.String("service.name", s.Service), zap.Uint64("calls", n), zap.Uint64("of", all), zap.Strings("missing", parts))
	}
}

// observeMissing shows the same.
func (r *ebpfReceiver) observeMissing(_ context.Context, o metric.Int64Observer) error {
	calls := map[string]uint64{}
	for _, s := range r.counts.causality.Services() {
		calls[s.Service], _ = unlinked(s)
	}
	r.counts.missing.each(func(service string, parts []string) {
		for _, part := range parts {
			o.Observe(int64(calls[service]), metric.WithAttributes(attribute.String("part", part), attribute.String("service", service)))
		}
	})
	return nil
}

// refused adds what is missing of a service to why a call of it has no request.
func (m *missing) refused(service string, why []string) []string {
	for _, part := range m.of(service) {
		why = append(why, "missing: "+part)
	}
	return why
}
