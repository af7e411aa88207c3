package probe

import "github.com/otelcol-ebpf/otelcol-ebpf/bpf"

// HAProxyTarget says where HAProxy notes which task is running: struct haproxy_target, bpf/event.h.
type HAProxyTarget struct {
	TLS                    int64
	ProcessStream, Current uint64
}

// HAProxy says how the streams of a process are read that was selected as HAProxy, or is about to be.
func (t *Tracer) HAProxy(pid uint32, h HAProxyTarget) error {
	v := bpf.SocketHaproxyTarget{Tls: h.TLS, ProcessStream: h.ProcessStream, Current: h.Current}
	return noteLayout(t.objects.HaproxyTargets, "the HAProxy", pid, v)
}

// ForgetHAProxy ends what HAProxy said.
func (t *Tracer) ForgetHAProxy(pid uint32) error {
	return forgetLayout(t.objects.HaproxyTargets, "the HAProxy", pid)
}
