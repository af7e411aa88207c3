package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTries bounds how often the processes of a program are read again because one of them has ended meanwhile.
const cpuTries = 100

// cpuTime is what a process and all that it started have used, those that have ended included.
func cpuTime(pid int) (time.Duration, error) {
	for range cpuTries {
		used, ended, err := cpuTimeOnce(pid)
		if err != nil || !ended {
			return used, err
		}
	}
	return 0, fmt.Errorf("CPU time of process %d: while it was read one of its children ended, %d times in turn", pid, cpuTries)
}

// cpuTimeOnce: ended says that a child has, whose time may be in neither its own clock nor the sum of its parent, which was
// read before.
func cpuTimeOnce(pid int) (used time.Duration, ended bool, err error) {
	for _, p := range descendants(pid) {
		own, err := processTime(p)
		if err != nil && p != pid && (errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) || errors.Is(err, fs.ErrNotExist)) {
			return 0, true, nil
		}
		if err != nil {
			return 0, false, fmt.Errorf("CPU time of process %d: %w", p, err)
		}
		used += own
	}
	return used, false, nil
}

// processTime is what a process has used, and those of its children that have ended and that it has waited for.
func processTime(pid int) (time.Duration, error) {
	// clock_getcpuclockid(3): the clock of a process, in nanoseconds: its threads that have ended too.
	const cpuclockSched = 2
	var now unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|cpuclockSched, &now); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// proc_pid_stat(5): after the name in parentheses; cutime and cstime are fields 16 and 17.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	used := time.Duration(now.Nano())
	for _, f := range fields[13:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		used += time.Duration(n) * tick
	}
	return used, nil
}

// tick: USER_HZ is 100 on every architecture of ours.
const tick = 10 * time.Millisecond
