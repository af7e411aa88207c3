package probe

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
)

// Deselect stops tracing a process. Of one that lives on, what is known of its connections and threads is
// forgotten: if it is selected again, it will have done things meanwhile that nobody saw, and a thread that
// answered its request unseen would go on serving it. That walks through the maps, some µs for each hundred
// entries; the kernel side has removed a process that has ended by itself.
func (t *Tracer) Deselect(pid uint32) error {
	err := t.objects.Targets.Delete(pid)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	t.selected.mark(pid, false)
	if err == nil {
		err = errors.Join(
			forget(t.objects.Conns, func(_ uint64, c bpf.SocketConn) bool { return c.Tgid == pid }),
			// With their system calls, which the kernel side no longer sees end.
			forget(t.objects.Threads, func(k bpf.SocketContextKey, _ bpf.SocketThread) bool { return k.Tgid == pid }),
			forget(t.objects.Tasks, func(k bpf.SocketContextKey, _ bpf.SocketContext) bool { return k.Tgid == pid }),
		)
	}
	if err != nil {
		return fmt.Errorf("deselect process %d: %w", pid, err)
	}
	return nil
}

// maxWalks is how often a walk through a map is begun again that changes too much meanwhile.
const maxWalks = 3

// forget removes what is meant from a map that the kernel side goes on changing: what comes and goes during
// the walk is of other processes.
func forget[K comparable, V any](m *ebpf.Map, meant func(K, V) bool) error {
	var err error
	for range maxWalks {
		if err = forgetOnce(m, meant); !errors.Is(err, ebpf.ErrIterationAborted) {
			break
		}
	}
	return err
}

func forgetOnce[K comparable, V any](m *ebpf.Map, meant func(K, V) bool) error {
	var (
		k    K
		v    V
		keys []K
	)
	all := m.Iterate()
	for all.Next(&k, &v) {
		if meant(k, v) {
			keys = append(keys, k)
		}
	}
	errs := []error{all.Err()}
	for _, k := range keys {
		if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
