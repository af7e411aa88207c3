//go:build linux

package ebpfspanreceiver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// A description outlives its process for a while, unless too many do; never that of another with the same id.
func TestPastProcesses(t *testing.T) {
	var s processes
	now := time.Now()
	run := func(pid int) { s.add(&process.Process{PID: pid}) }
	run(1)
	run(2)
	s.ended(1, now)
	run(1)
	again := s.of(1)
	s.ended(2, now.Add(time.Second))
	s.forget(now.Add(rememberFor))
	require.NotNil(t, s.of(2))
	s.forget(now.Add(rememberFor + time.Second))
	require.NotNil(t, s.of(2))
	s.forget(now.Add(rememberFor + 2*time.Second))
	require.Nil(t, s.of(2))
	require.Same(t, again, s.of(1))

	for pid := 10; pid < 10+maxPast+3; pid++ {
		run(pid)
		s.ended(uint32(pid), now)
	}
	require.Nil(t, s.of(12))
	require.NotNil(t, s.of(13))
	require.Len(t, s.past, maxPast)
	require.Len(t, s.by, maxPast+1)
}

// What ended before it was read has the habits of what it was forked from.
func TestInheritedHabits(t *testing.T) {
	var s processes
	s.add(&process.Process{PID: 1, ServiceName: "shop"})
	s.learn(1, func(h *causality.Habits) { h.Queues = true })
	s.inherit(&process.Process{PID: 2, ServiceName: "shop"}, 1, time.Now())
	require.Equal(t, s.habits(1), s.habits(2))
	instance, service := s.identify(2)
	require.Equal(t, "shop", service)
	require.NotEqual(t, s.of(1).instance, instance)
	require.False(t, s.of(2).gone.IsZero())
}
