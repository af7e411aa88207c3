package ebpfspanreceiver

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// TestAttachments: a file is attached by its first user and detached, once, by its last.
func TestAttachments(t *testing.T) {
	one, two := process.FileKey{Ino: 1}, process.FileKey{Ino: 2}
	type use struct {
		pid int
		key process.FileKey
	}
	for name, c := range map[string]struct {
		uses     []use
		leave    []int
		attached int
		detached []int // in the order of attaching, from 1
		atClose  []int
	}{
		"one process":              {[]use{{7, one}}, []int{7}, 1, []int{1}, nil},
		"two processes, one stays": {[]use{{7, one}, {8, one}}, []int{7}, 1, nil, []int{1}},
		"two processes":            {[]use{{7, one}, {8, one}}, []int{7, 8}, 1, []int{1}, nil},
		"the same once more":       {[]use{{7, one}, {7, one}}, []int{7}, 1, []int{1}, nil},
		"two files":                {[]use{{7, one}, {7, two}, {8, two}}, []int{7}, 2, []int{1}, []int{2}},
		"leaves twice":             {[]use{{7, one}, {8, one}}, []int{7, 7}, 1, nil, []int{1}},
		"no keys":                  {[]use{{7, process.FileKey{}}, {8, process.FileKey{}}}, []int{8}, 2, []int{2}, []int{1}},
		"no user":                  {nil, []int{7}, 0, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			attached := 0
			var detached []int
			s := newAttachments(func(n int) { detached = append(detached, n) })
			for _, u := range c.uses {
				s.use(u.pid, u.key, func() int { attached++; return attached })
			}
			for i, pid := range c.leave {
				used := false
				for _, u := range c.uses {
					used = used || u.pid == pid
				}
				for _, before := range c.leave[:i] {
					used = used && before != pid
				}
				require.Equal(t, used, s.leave(pid))
			}
			require.Equal(t, c.attached, attached)
			require.Equal(t, c.detached, detached)
			detached = nil
			s.close()
			require.Equal(t, c.atClose, detached)
			require.Empty(t, s.files)
			require.Empty(t, s.users)
		})
	}
}
