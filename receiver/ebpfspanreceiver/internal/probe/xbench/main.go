package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
)

func main() {
	for _, mode := range []string{"off", "unselected", "selected", "selected-loop", "node-loop"} {
		run(mode)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func run(mode string) {
	args := []string{}
	if strings.HasSuffix(mode, "loop") {
		args = append(args, "loop")
	}
	c := exec.Command("/tmp/w/costx/ops", args...)
	in, err := c.StdinPipe()
	check(err)
	out, err := c.StdoutPipe()
	check(err)
	check(c.Start())
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	check(err)
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	var t *probe.Tracer
	if mode != "off" {
		t, err = probe.Load(probe.Options{PayloadSize: 4096, RingBufferSize: 16 << 20})
		check(err)
		check(t.Attach())
		if mode != "unselected" {
			check(t.Select(uint32(pid), probe.Target{Node: mode == "node-loop"}))
		}
	}
	var st io.Closer
	if len(os.Args) > 1 {
		st, err = ebpf.EnableStats(0)
		check(err)
		defer st.Close()
	}
	in.Write([]byte("\n"))
	rest, _ := io.ReadAll(r)
	fmt.Printf("%-14s %s", mode, rest)
	c.Wait()
	if t != nil {
		if st != nil {
			var id ebpf.ProgramID
			for {
				id, err = ebpf.ProgramGetNextID(id)
				if err != nil {
					break
				}
				p, err := ebpf.NewProgramFromID(id)
				if err != nil {
					continue
				}
				i, _ := p.Info()
				s, err := p.Stats()
				if err == nil && s.RunCount > 10000 {
					fmt.Printf("     %-20s %9d %6.0f ns\n", i.Name, s.RunCount, float64(s.Runtime)/float64(s.RunCount))
				}
				p.Close()
			}
		}
		t.Close()
	}
}
