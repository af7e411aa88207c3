// Command linkfaults shows what ebpf_link survives: a real Collector, otlp to ebpf_link to otlp, under
// load from clients that retry, is killed, robbed of its disk, its directory, its clock and what it
// sends to. Afterwards every span that was acknowledged must have come out, once but for what was under
// way at a kill, and with no parent but its own. It is a module of its own because ebpf_link does not
// depend on the rest of a Collector.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "collector" {
		exit(runCollector(os.Args[2]))
	}
	brief := flag.Bool("short", false, "8 kills instead of 50, 8 s of refusals instead of 60")
	only := flag.String("only", "", "run the rows whose name has this in it")
	pause := flag.Duration("pause", 15*time.Millisecond, "between the blocks of 160 spans of each of the three senders")
	flag.Parse()
	s := whole
	if *brief {
		s = short
	}
	exit(run(s, *only, *pause))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "linkfaults:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(s size, only string, pause time.Duration) error {
	var total verdict
	ran, failed := 0, 0
	for _, r := range rows {
		if !strings.Contains(r.name, only) {
			continue
		}
		began := time.Now()
		v, n, err := try(r, s, pause)
		if errors.Is(err, errSkip) {
			fmt.Printf("%-26s %s\n", r.name, err)
			continue
		}
		ran++
		verdict := "ok"
		if err != nil || v.bad() {
			verdict = "FAILED"
			failed++
		}
		fmt.Printf("%-26s %-6s %4.0f s  restarts=%d %s\n", r.name, verdict, time.Since(began).Seconds(), n, v)
		if err != nil {
			fmt.Printf("    %v\n", err)
		}
		total.acked, total.lost, total.repeated = total.acked+v.acked, total.lost+v.lost, total.repeated+v.repeated
		total.wrong += v.wrong
	}
	fmt.Printf("faults: runs=%d acked=%d lost=%d duplicated=%d wrong_links=%d\n",
		ran, total.acked, total.lost, total.repeated, total.wrong)
	if failed > 0 || ran == 0 {
		return fmt.Errorf("%d of %d runs failed", failed, ran)
	}
	return nil
}

// try runs one row.
func try(r row, s size, pause time.Duration) (verdict, int, error) {
	set := setup{window: time.Second, maxWaiting: 500_000, sync: "interval", body: 300}
	if r.change != nil {
		r.change(&set)
	}
	b, err := newBench(set)
	if err != nil {
		return verdict{}, 0, err
	}
	defer b.close()
	if r.prepare != nil {
		if err := r.prepare(b, s); err != nil {
			return verdict{}, 0, err
		}
		defer func() { _ = syscall.Unmount(b.store, syscall.MNT_DETACH) }()
	}
	if err := b.start(); err != nil {
		return verdict{}, 0, err
	}
	if b.load, err = startLoad(b.in, b.ledger, pause, set.body); err != nil {
		return verdict{}, 0, err
	}
	if err := r.fault(b, s); err != nil {
		return b.ledger.judge(), b.restarts, err
	}
	err = b.finish()
	v := b.ledger.judge()
	if n := b.load.failed.Load(); n > 0 && err == nil {
		err = fmt.Errorf("%d requests were refused for good", n)
	}
	return v, b.restarts, err
}
