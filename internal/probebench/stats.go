package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
)

// programStats is the kernel's account of one program (bpf_prog_info.run_time_ns and run_cnt).
type programStats struct {
	id      ebpf.ProgramID
	name    string
	runs    uint64
	runtime time.Duration
}

func (p programStats) perRun() float64 {
	if p.runs == 0 {
		return 0
	}
	return float64(p.runtime.Nanoseconds()) / float64(p.runs)
}

// programsOf lists the programs that a process holds, by its file descriptors: programs and links
// both name their program in fdinfo. Other BPF programs of the machine are left out so.
func programsOf(pid int) ([]ebpf.ProgramID, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return nil, err
	}
	var ids []ebpf.ProgramID
	for _, name := range files {
		f, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // closed since
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			value, ok := strings.CutPrefix(lines.Text(), "prog_id:")
			if !ok {
				continue
			}
			id, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
			if err == nil && id != 0 && !slices.Contains(ids, ebpf.ProgramID(id)) {
				ids = append(ids, ebpf.ProgramID(id))
			}
		}
		err = errors.Join(lines.Err(), f.Close())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("process %d holds no BPF program", pid)
	}
	slices.Sort(ids)
	return ids, nil
}

func readStats(ids []ebpf.ProgramID) ([]programStats, error) {
	var all []programStats
	for _, id := range ids {
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			return nil, fmt.Errorf("open BPF program %d: %w", id, err)
		}
		info, err := p.Info()
		if err == nil {
			var s *ebpf.ProgramStats
			if s, err = p.Stats(); err == nil {
				all = append(all, programStats{id: id, name: info.Name, runs: s.RunCount, runtime: s.Runtime})
			}
		}
		_ = p.Close()
		if err != nil {
			return nil, fmt.Errorf("read BPF program %d: %w", id, err)
		}
	}
	return all, nil
}

// since subtracts an earlier reading of the same programs, and sorts by total time.
func since(before, after []programStats) []programStats {
	old := map[ebpf.ProgramID]programStats{}
	for _, p := range before {
		old[p.id] = p
	}
	diff := slices.Clone(after)
	for i := range diff {
		diff[i].runs -= old[diff[i].id].runs
		diff[i].runtime -= old[diff[i].id].runtime
	}
	slices.SortFunc(diff, func(a, b programStats) int { return int(b.runtime - a.runtime) })
	return diff
}

// perSecond is USER_HZ, fixed in the kernel's interface on all our architectures.
const perSecond = 100

// cpuTime reads user and system time of whole processes, proc_pid_stat(5), in steps of 10 ms.
func cpuTime(pids ...int) (time.Duration, error) {
	var total time.Duration
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// The name, in parentheses, may hold anything.
		i := strings.LastIndexByte(string(data), ')')
		f := strings.Fields(string(data[i+1:]))
		if i < 0 || len(f) < 13 {
			return 0, fmt.Errorf("/proc/%d/stat: %q is not as proc_pid_stat(5) says", pid, data)
		}
		for _, s := range f[11:13] {
			ticks, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
			}
			total += time.Duration(ticks) * time.Second / perSecond
		}
	}
	return total, nil
}

// machineTime reads the first line of /proc/stat, proc_stat(5): CPU time of all processors, in all
// and not idle. Time that the hypervisor gave to others (steal) counts as not idle.
func machineTime() (all, busy time.Duration, err error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, 0, fmt.Errorf("/proc/stat begins with %q, not as proc_stat(5) says", line)
	}
	for i, s := range f[1:9] { // user nice system idle iowait irq softirq steal; guests are in user
		ticks, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/stat: %w", err)
		}
		d := time.Duration(ticks) * time.Second / perSecond
		all += d
		if i != 3 && i != 4 {
			busy += d
		}
	}
	return all, busy, nil
}
