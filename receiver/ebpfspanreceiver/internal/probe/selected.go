package probe

import (
	"bytes"
	"fmt"
	"math/bits"
	"os"
	"strconv"

	"github.com/cilium/ebpf"
)

// selected says of each process id whether the kernel side has to look for it among its targets: the map of that
// name in bpf/maps.bpf.h, in memory. What is written there holds at once.
type selected struct{ memory *ebpf.Memory }

const (
	// minSelectable is PID_MAX_DEFAULT, include/linux/threads.h.
	minSelectable = 32 << 10
	// maxSelectable is PID_MAX_LIMIT of 64-bit machines. Linux 5.10 has no larger elements, either.
	maxSelectable = 4 << 20
)

// selectable is how many process ids the machine has, proc(5) pid_max, or more: a power of two. Those that it gets
// later, or that it has where this cannot be read, are looked for each time.
func selectable() uint32 {
	text, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		return minSelectable
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 32)
	if err != nil {
		return minSelectable
	}
	return 1 << bits.Len32(uint32(min(max(n, minSelectable), maxSelectable))-1)
}

func mapSelected(m *ebpf.Map) (selected, error) {
	memory, err := m.Memory()
	if err != nil {
		return selected{}, fmt.Errorf("map what is selected into memory: %w", err)
	}
	return selected{memory}, nil
}

// mark says so of one process.
func (s selected) mark(pid uint32, is bool) {
	if pid >= s.memory.Size() {
		return
	}
	var b [1]byte
	if is {
		b[0] = 1
	}
	// It fails where the map is closed only: no program runs then.
	_, _ = s.memory.WriteAt(b[:], int64(pid))
}
