package probe

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// noteLayout tells the kernel side where the runtime of a process keeps what is read there. what names it in an error.
func noteLayout(m *ebpf.Map, what string, pid uint32, layout any) error {
	if err := m.Put(pid, layout); err != nil {
		return fmt.Errorf("note %s of process %d: %w", what, pid, err)
	}
	return nil
}

// forgetLayout ends that.
func forgetLayout(m *ebpf.Map, what string, pid uint32) error {
	if err := m.Delete(pid); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("forget %s of process %d: %w", what, pid, err)
	}
	return nil
}
