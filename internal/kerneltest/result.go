package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	// maxOutput bounds how much of one package's output is kept for printing; the log file has all.
	maxOutput = 1 << 20
	// maxSaid bounds how much of one failed test's output is said again at the end.
	maxSaid = 8 << 10
)

type outcome string

const (
	passed  outcome = "PASS"
	failed  outcome = "FAIL"
	skipped outcome = "SKIP"
)

// suiteResult is one package on one kernel.
type suiteResult struct {
	suite    suite
	outcomes map[string]outcome
	said     map[string]string // by failed tests: the end of it
	running  []byte            // the output since the last test ended
	faults   []string          // what is wrong beyond failed tests
	output   []byte            // the last maxOutput bytes
	cut      bool              // output was longer
	began    bool
	ended    bool
	exit     int
}

func (s *suiteResult) count(o outcome) int {
	n := 0
	for _, got := range s.outcomes {
		if got == o {
			n++
		}
	}
	return n
}

// failures counts failed tests, or 1 when the package failed without any.
func (s *suiteResult) failures() int {
	n := s.count(failed)
	if n == 0 && len(s.faults) > 0 {
		n = 1
	}
	return n
}

// report is everything that is known of one kernel's run.
type report struct {
	kernel  kernel
	release string // uname -r
	suites  []*suiteResult
	mounts  []string // that failed
	done    bool
	fault   error
	boot    time.Duration
	took    time.Duration
	console string
	log     string
}

func newReport(k kernel, suites []suite) report {
	r := report{kernel: k}
	for _, s := range suites {
		r.suites = append(r.suites, &suiteResult{suite: s, outcomes: map[string]outcome{}, said: map[string]string{}})
	}
	return r
}

// resultParser reads what the guest's init and its test binaries print.
type resultParser struct {
	report  *report
	nonce   string
	up      func()
	current *suiteResult
}

func (p *resultParser) read(in *bufio.Reader) error {
	for {
		// A line of any length: what does not fit the buffer is handled as lines of its own,
		// which can hide no result, since those are short and begin a line.
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			p.line(line)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *resultParser) line(raw []byte) {
	line := bytes.TrimRight(raw, "\r\n")
	if rest, ok := bytes.CutPrefix(line, []byte(p.nonce+" ")); ok {
		p.marker(strings.Fields(string(rest)))
		return
	}
	if p.current == nil {
		return
	}
	p.current.keep(raw)
	// In test2json mode the testing package puts a SYN before each of its own lines, which may
	// stand behind a test's unfinished one.
	_, rest, ok := bytes.Cut(line, []byte("\x16--- "))
	if !ok {
		return
	}
	what, rest, _ := bytes.Cut(rest, []byte(": "))
	name, _, _ := bytes.Cut(rest, []byte(" "))
	if bytes.ContainsRune(name, '/') {
		return
	}
	switch o := outcome(what); o {
	case passed, failed, skipped:
		// With -count, one failure among the repetitions is what matters.
		if p.current.outcomes[string(name)] != failed {
			p.current.outcomes[string(name)] = o
			if o == failed {
				p.current.said[string(name)] = string(bytes.TrimSpace(p.current.running))
			}
		}
		p.current.running = p.current.running[:0]
	}
}

func (p *resultParser) marker(words []string) {
	if len(words) == 0 {
		return
	}
	number := func(i int) int {
		if i < len(words) {
			if n, err := strconv.Atoi(words[i]); err == nil {
				return n
			}
		}
		return -1
	}
	r := p.report
	switch words[0] {
	case "MOUNT":
		r.mounts = append(r.mounts, words[1:]...)
	case "UP":
		r.release = strings.Join(words[1:], " ")
		p.up()
	case "BEGIN":
		if i := number(1); i >= 0 && i < len(r.suites) {
			p.current = r.suites[i]
			p.current.began = true
		}
	case "END":
		if p.current != nil {
			p.current.ended, p.current.exit = true, number(2)
		}
		p.current = nil
	case "DONE":
		r.done = true
	}
}

func (s *suiteResult) keep(b []byte) {
	b = bytes.ReplaceAll(b, []byte("\x16"), nil)
	if s.running = append(s.running, b...); len(s.running) > maxSaid {
		s.running = append(s.running[:0], s.running[len(s.running)-maxSaid:]...)
	}
	s.output = append(s.output, b...)
	if len(s.output) > 2*maxOutput {
		s.output = append(s.output[:0], s.output[len(s.output)-maxOutput:]...)
		s.cut = true
	}
}

// close judges what the guest did not say.
func (r *report) close() {
	for _, s := range r.suites {
		switch {
		case !s.began:
			s.faults = append(s.faults, "its tests were never started")
		case !s.ended:
			s.faults = append(s.faults, "its tests never ended")
		case s.exit != 0 && s.count(failed) == 0:
			s.faults = append(s.faults, fmt.Sprintf("exit code %d with no failed test: a panic, or killed", s.exit))
		}
		if s.ended {
			var missing []string
			for _, name := range s.suite.tests {
				if _, ok := s.outcomes[name]; !ok {
					missing = append(missing, name)
				}
			}
			if len(missing) > 0 {
				s.faults = append(s.faults, "no result from "+strings.Join(missing, ", "))
			}
		}
	}
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "kernel-test: %s: %s %s, user space up after %.1fs, %.1fs in all\n",
		r.kernel.Series, r.kernel.Package, r.kernel.Version, r.boot.Seconds(), r.took.Seconds())
	for _, m := range r.mounts {
		fmt.Fprintf(w, "kernel-test: %s: guest could not mount %s\n", r.kernel.Series, m)
	}
	for _, s := range r.suites {
		if s.failures() == 0 {
			continue
		}
		if s.cut {
			fmt.Fprintf(w, "... (only the end is shown, all of it is in %s)\n", r.log)
		}
		fmt.Fprintf(w, "--- %s on %s ---\n%s\n", s.suite.pkg, r.kernel.Series, bytes.TrimSpace(s.output))
		for _, f := range s.faults {
			fmt.Fprintf(w, "kernel-test: %s on %s: %s\n", s.suite.pkg, r.kernel.Series, f)
		}
	}
	if r.fault != nil {
		fmt.Fprintf(w, "kernel-test: %s: %v\n", r.kernel.Series, r.fault)
		if tail := fileTail(r.console, 16<<10); tail != "" {
			fmt.Fprintf(w, "--- console of %s (%s) ---\n%s\n", r.kernel.Series, r.console, tail)
		}
	}
}

func fileTail(name string, n int) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data[max(0, len(data)-n):]))
}

// summarize prints the table and the last line, and says whether the run counts as a success.
func summarize(w io.Writer, reports []report, suites []suite) error {
	var nPassed, nFailed, nSkipped int
	var problems []string
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "kernel\tpackage\tpassed\tfailed\tskipped")
	for _, r := range reports {
		ran, ok := 0, 0
		for _, s := range r.suites {
			p, f, k := s.count(passed), s.failures(), s.count(skipped)
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\n", r.release, s.suite.rel, p, f, k)
			nPassed, nFailed, nSkipped = nPassed+p, nFailed+f, nSkipped+k
			ran += p + f
			ok += p
			if f > 0 {
				problems = append(problems, fmt.Sprintf("%s on %s", s.suite.rel, r.kernel.Series))
			}
		}
		if r.fault != nil || len(r.mounts) > 0 {
			problems = append(problems, "the guest of "+r.kernel.Series)
		}
		if ran == 0 {
			problems = append(problems, "no test ran on "+r.kernel.Series)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range reports {
		for _, s := range r.suites {
			var names []string
			for name, o := range s.outcomes {
				if o == skipped {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			for _, name := range names {
				fmt.Fprintf(w, "skipped on %s: %s %s\n", r.kernel.Series, s.suite.rel, name)
			}
			for _, name := range slices.Sorted(maps.Keys(s.said)) {
				fmt.Fprintf(w, "--- FAIL: %s on %s, the end of what it said:\n%s\n", name, r.kernel.Series, s.said[name])
			}
		}
	}
	if len(reports) == 0 || len(suites) == 0 {
		problems = append(problems, "nothing was tested")
	}
	fmt.Fprintf(w, "kernel-test: kernels=%d passed=%d failed=%d\n", len(reports), nPassed, nFailed)
	if len(problems) > 0 {
		return errors.New("failed: " + strings.Join(problems, "; "))
	}
	return nil
}
