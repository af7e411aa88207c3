package protocol

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/*.txt")

// journal is a sink that writes down what it is told and checks that the calls are well nested,
// in order, and account for every byte.
type journal struct {
	lines []string
	fed   [2]uint64
	// spoken is how far messages and skips have accounted for the stream.
	spoken [2]uint64
	open   [2]bool
	headed [2]bool
	start  [2]uint64
	faults []string
	skips  [2]map[Reason]int
	// counts of whole messages.
	ended [2]int
	quiet bool
}

func newJournal() *journal {
	return &journal{skips: [2]map[Reason]int{{}, {}}}
}

func (j *journal) fault(format string, args ...any) {
	j.faults = append(j.faults, fmt.Sprintf(format, args...))
}

func (j *journal) note(format string, args ...any) {
	if !j.quiet {
		j.lines = append(j.lines, fmt.Sprintf(format, args...))
	}
}

var sides = [2]string{"request", "response"}

func (j *journal) within(what string, dir Direction, off uint64) {
	if off > j.fed[dir] {
		j.fault("%s %s: offset %d is beyond the %d bytes fed", what, sides[dir], off, j.fed[dir])
	}
}

func (j *journal) Begin(dir Direction, off uint64) {
	j.note("%s begin %d", sides[dir], off)
	j.within("begin", dir, off)
	switch {
	case j.open[dir] && (j.headed[dir] || off < j.start[dir]):
		j.fault("begin %s at %d inside a message that began at %d", sides[dir], off, j.start[dir])
	case !j.open[dir] && off != j.spoken[dir]:
		j.fault("begin %s at %d, but bytes up to %d are accounted for", sides[dir], off, j.spoken[dir])
	}
	j.open[dir], j.headed[dir], j.start[dir] = true, false, off
}

func (j *journal) Head(dir Direction, off uint64, m *Message) {
	j.note("%s head %d%s", sides[dir], off, describe(m))
	j.within("head", dir, off)
	if !j.open[dir] || j.headed[dir] || off < j.start[dir] || m == nil {
		j.fault("head %s at %d: open=%v headed=%v start=%d", sides[dir], off, j.open[dir], j.headed[dir], j.start[dir])
	}
	j.headed[dir] = true
	j.spoken[dir] = off
}

func (j *journal) End(dir Direction, off uint64, how Completion) {
	j.note("%s end %d %s", sides[dir], off, [...]string{"complete", "closed", "cut", "assumed", "upgraded"}[how])
	j.within("end", dir, off)
	if !j.open[dir] || !j.headed[dir] || off < j.spoken[dir] {
		j.fault("end %s at %d: open=%v headed=%v, accounted %d", sides[dir], off, j.open[dir], j.headed[dir], j.spoken[dir])
	}
	j.open[dir] = false
	j.spoken[dir] = off
	j.ended[dir]++
}

func (j *journal) Skip(dir Direction, n int, why Reason) {
	j.note("%s skip %d %s", sides[dir], n, Reasons[why])
	if n < 0 {
		j.fault("skip %s %d", sides[dir], n)
	}
	if j.open[dir] {
		j.spoken[dir] = j.start[dir]
		j.open[dir] = false
	}
	j.spoken[dir] += uint64(n)
	j.skips[dir][why] += n
	j.within("skip", dir, j.spoken[dir])
}

// accounted checks after a chunk that nothing is left unsaid.
func (j *journal) accounted() {
	for dir := range j.fed {
		if !j.open[dir] && j.spoken[dir] != j.fed[dir] {
			j.fault("%s: %d bytes fed, %d accounted for", sides[dir], j.fed[dir], j.spoken[dir])
		}
	}
}

func describe(m *Message) string {
	var b strings.Builder
	if m.Name != "" {
		fmt.Fprintf(&b, " %q", m.Name)
	}
	for _, a := range m.Attributes {
		if a.IsInt {
			fmt.Fprintf(&b, " %s=%d", a.Key, a.Int)
		} else {
			fmt.Fprintf(&b, " %s=%q", a.Key, a.Str)
		}
	}
	if m.RequestID != "" {
		fmt.Fprintf(&b, " request-id=%q", m.RequestID)
	}
	if c := m.Context; c.Valid() {
		fmt.Fprintf(&b, " context=%x/%x", c.TraceID, c.ParentID)
		if c.HasSampled {
			fmt.Fprintf(&b, "/%v", c.Sampled)
		}
		if c.State != "" {
			fmt.Fprintf(&b, "/%s", c.State)
		}
	}
	switch m.Fault {
	case CallerFault:
		b.WriteString(" caller-fault")
	case ServerFault:
		b.WriteString(" server-fault")
	}
	if m.FaultText != "" {
		fmt.Fprintf(&b, " fault=%q", m.FaultText)
	}
	if m.OneWay {
		b.WriteString(" one-way")
	}
	return b.String()
}

// feed gives a chunk to the session and checks the accounts.
func (j *journal) feed(s Session, dir Direction, c Chunk) {
	j.fed[dir] += uint64(max(c.Len, len(c.Data)))
	s.Feed(dir, c)
	j.accounted()
}

// A script is a text with one step on a line:
//
//	# a comment
//	protocol http | redis, then options: query raw joined head=N
//	< "bytes"        a chunk of requests, as a Go string; +N after it: N more bytes not captured
//	> "bytes"        a chunk of responses
//	close < | close > | idle
//
// The calls that the sink got follow each step, indented, and are rewritten with -update.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s: got\n%s\nrun go test -run TestScripts -update and read the difference", file, got)
			}
		})
	}
}

func runScript(t *testing.T, script string) string {
	t.Helper()
	var out strings.Builder
	j := newJournal()
	var s Session
	for number, line := range strings.Split(strings.TrimSuffix(script, "\n"), "\n") {
		if strings.HasPrefix(line, "\t") {
			continue
		}
		out.WriteString(line + "\n")
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		if fields[0] == "protocol" {
			j = newJournal()
			s = sessionFor(t, fields[1:], j)
			continue
		}
		if s == nil {
			t.Fatalf("line %d: a step before protocol", number+1)
		}
		switch fields[0] {
		case "<", ">":
			dir := Direction(strings.IndexByte("<>", fields[0][0]))
			c := parseChunk(t, number+1, strings.TrimSpace(line[1:]))
			j.feed(s, dir, c)
		case "close":
			s.Close(Direction(strings.Index("<>", fields[1])))
		case "idle":
			s.Idle()
		default:
			t.Fatalf("line %d: unknown step %q", number+1, fields[0])
		}
		for _, l := range j.lines {
			out.WriteString("\t" + l + "\n")
		}
		j.lines = nil
		for _, f := range j.faults {
			t.Errorf("line %d: %s", number+1, f)
		}
		j.faults = nil
	}
	return out.String()
}

func sessionFor(t *testing.T, words []string, sink Sink) Session {
	t.Helper()
	var opts Options
	for _, w := range words[1:] {
		switch {
		case w == "query":
			opts.CaptureQuery = true
		case w == "raw":
			opts.RawArguments = true
		case w == "joined":
			opts.Joined = true
		case strings.HasPrefix(w, "head="):
			opts.MaxHead, _ = strconv.Atoi(w[5:])
		default:
			t.Fatalf("unknown option %q", w)
		}
	}
	for _, p := range Table {
		if p.Name == words[0] {
			return p.New(opts, sink)
		}
	}
	t.Fatalf("unknown protocol %q", words[0])
	return nil
}

// parseChunk reads: "text"*3 "text" +100
func parseChunk(t *testing.T, number int, s string) Chunk {
	t.Helper()
	var c Chunk
	for s != "" {
		if s[0] == '+' {
			n, err := strconv.Atoi(s[1:])
			if err != nil {
				t.Fatalf("line %d: %v", number, err)
			}
			c.Len = len(c.Data) + n
			return c
		}
		quoted, err := strconv.QuotedPrefix(s)
		if err != nil {
			t.Fatalf("line %d: %v: %s", number, err, s)
		}
		text, _ := strconv.Unquote(quoted)
		s = s[len(quoted):]
		times := 1
		if strings.HasPrefix(s, "*") {
			digits, _, _ := strings.Cut(s[1:], " ")
			if times, err = strconv.Atoi(digits); err != nil {
				t.Fatalf("line %d: %v", number, err)
			}
			s = s[1+len(digits):]
		}
		c.Data = append(c.Data, bytes.Repeat([]byte(text), times)...)
		s = strings.TrimSpace(s)
	}
	c.Len = len(c.Data)
	return c
}
