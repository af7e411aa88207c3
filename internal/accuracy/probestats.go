package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
)

// bpfStatsRunTime is BPF_STATS_RUN_TIME of enum bpf_stats_type.
const bpfStatsRunTime = 0

// probe is how often a BPF program of the receiver ran and how long in all. It runs for every process;
// where that is not traced, it ends after a look-up.
type probe struct {
	Name  string `json:"name"`
	Hits  uint64 `json:"hits"`
	Nanos uint64 `json:"ns"`
}

func (p *probe) mean() float64 { return float64(p.Nanos) / float64(max(1, p.Hits)) }

// probeStats are the programs by name.
type probeStats struct{ byName map[string]*probe }

// enableStats lets the kernel count, which costs each run of a program some 20 ns by itself.
func enableStats() (io.Closer, error) {
	c, err := ebpf.EnableStats(bpfStatsRunTime)
	if err != nil {
		return nil, fmt.Errorf("let the kernel count how long BPF programs run: %w", err)
	}
	return c, nil
}

// collect adds what the programs that this process holds have counted since they were loaded.
func (s *probeStats) collect() error {
	ids := map[ebpf.ProgramID]bool{} // several descriptors may be of one program
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil {
		return err
	}
	for _, name := range infos {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // closed meanwhile
		}
		if !strings.Contains(string(text), "prog_tag:") || strings.Contains(string(text), "link_type:") {
			continue
		}
		for _, line := range strings.Split(string(text), "\n") {
			if value, ok := strings.CutPrefix(line, "prog_id:"); ok {
				id, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				ids[ebpf.ProgramID(id)] = true
			}
		}
	}
	var errs []error
	for id := range ids {
		errs = append(errs, s.add(id))
	}
	return errors.Join(errs...)
}

func (s *probeStats) add(id ebpf.ProgramID) error {
	p, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return err
	}
	counted, err := p.Stats()
	if err != nil {
		return err
	}
	of := s.byName[info.Name]
	if of == nil {
		of = &probe{Name: info.Name}
		s.byName[info.Name] = of
	}
	of.Hits += counted.RunCount
	of.Nanos += uint64(counted.Runtime)
	return nil
}

// total is how long all of them ran.
func (s *probeStats) total() time.Duration {
	var n uint64
	for _, p := range s.byName {
		n += p.Nanos
	}
	return time.Duration(n)
}

// sorted has the programs that ran, what took longest in all first.
func (s *probeStats) sorted() []probe {
	var out []probe
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		if p := s.byName[name]; p.Hits > 0 {
			out = append(out, *p)
		}
	}
	slices.SortStableFunc(out, func(a, b probe) int { return cmp.Compare(b.Nanos, a.Nanos) })
	return out
}
