//go:build !linux

package ebpfspanreceiver

import (
	"context"
	"fmt"
	"runtime"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
)

func createTraces(context.Context, receiver.Settings, component.Config, consumer.Traces) (receiver.Traces, error) {
	return nil, fmt.Errorf("ebpf_span needs the BPF of a Linux kernel and cannot run on %s: "+
		"run this receiver on the Linux hosts and send to this collector over OTLP", runtime.GOOS)
}
