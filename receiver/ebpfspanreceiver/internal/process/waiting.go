//go:build linux

package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
)

// epollCalls are the numbers of the system calls in which an event loop waits, by architecture
// (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
var epollCalls = map[string][]string{
	"amd64": {"232", "281", "441"},
	"arm64": {"22", "441"},
}

// EventLoops lists the threads of a process that wait for events of several descriptors right now
// (epoll_wait and its kin), from /proc/<pid>/task/<tid>/syscall, proc(5).
func (r *Reader) EventLoops(pid int) ([]int, error) {
	dir := filepath.Join(r.root, strconv.Itoa(pid), "task")
	threads, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list threads: %w", err)
	}
	var loops []int
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		// A thread that has ended meanwhile, or runs, waits for nothing.
		b, err := os.ReadFile(filepath.Join(dir, t.Name(), "syscall"))
		if err != nil {
			continue
		}
		number, _, _ := bytes.Cut(b, []byte(" "))
		for _, n := range epollCalls[runtime.GOARCH] {
			if string(number) == n {
				loops = append(loops, tid)
			}
		}
	}
	return loops, nil
}
