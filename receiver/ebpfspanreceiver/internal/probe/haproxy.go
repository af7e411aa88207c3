package probe

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
)

// HAProxyTarget says where HAProxy notes which task is running: struct haproxy_target, bpf/event.h.
type HAProxyTarget struct {
	TLS                    int64
	ProcessStream, Current uint64
}

// HAProxy says how the streams of a process are read that was selected as HAProxy, or is about to be.
func (t *Tracer) HAProxy(pid uint32, h HAProxyTarget) error {
	v := bpf.SocketHaproxyTarget{Tls: h.TLS, ProcessStream: h.ProcessStream, Current: h.Current}
	if err := t.objects.HaproxyTargets.Put(pid, v); err != nil {
		return fmt.Errorf("note the HAProxy of process %d: %w", pid, err)
	}
	return nil
}

// ForgetHAProxy ends what HAProxy said.
func (t *Tracer) ForgetHAProxy(pid uint32) error {
	if err := t.objects.HaproxyTargets.Delete(pid); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("forget the HAProxy of process %d: %w", pid, err)
	}
	return nil
}
