// Command linkaccuracy measures whether spans get the right parent: it makes traffic of which the truth
// is known, sends it through the real processor and through re-implementations of the rules of others,
// and prints precision and recall of parent edges. It exits with 1 when a link is wrong, when an exact
// rule missed one, or when others do better anywhere.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/forest"
)

func main() {
	seed := flag.Uint64("seed", 1, "seed of the traffic")
	seeds := flag.Uint64("seeds", 1, "how many seeds, from -seed on")
	only := flag.String("scenarios", ".", "regular expression of the scenarios to run")
	loss := flag.Float64("loss", -1, "share of spans that are lost, of every scenario, instead of its own")
	verbose := flag.Bool("v", false, "print the first span that each scenario gets wrong or misses")
	flag.Parse()
	match, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "linkaccuracy: -scenarios:", err)
		os.Exit(2)
	}
	t := table{verbose: *verbose}
	t.head()
	for n := *seed; n < *seed+*seeds; n++ {
		for _, r := range rows() {
			if !match.MatchString(r.Name) {
				continue
			}
			if *loss >= 0 {
				r.Loss = *loss
			}
			if err := t.run(&r, n); err != nil {
				fmt.Fprintf(os.Stderr, "linkaccuracy: %s, seed %d: %v\n", r.Name, n, err)
				os.Exit(1)
			}
		}
	}
	if !t.last() {
		os.Exit(1)
	}
}

// describe a span for whoever looks into a fault.
func describe(what string, s *forest.Span) {
	if s == nil {
		return
	}
	fmt.Printf("    %s: span %d %x kind %d SDK %t of %s/%d [%d, %d] conn %d seq %d/%d ports %v %v request %x known %t trace %x under %x request ids %.4s %.4s\n",
		what, s.N, s.ID, s.Kind, s.SDK, s.Process.Host.Name, s.Process.PID, s.Start, s.End, s.Conn, s.ReqSeq, s.RespSeq,
		s.Local, s.Peer, s.Request, s.Known, s.Trace, s.CtxParent, s.ReqID, s.RespID)
}
