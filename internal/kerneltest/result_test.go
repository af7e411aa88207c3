package main

import (
	"bufio"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const guestOutput = `noise before init
N UP 6.1.0-test
N BEGIN 0
=== RUN   TestKernelA
a test that prints no newline` + "\x16" + `--- PASS: TestKernelA (0.01s)
` + "\x16" + `=== RUN   TestKernelB
    b_test.go:3: verifier says no
` + "\x16" + `--- FAIL: TestKernelB (0.02s)
    ` + "\x16" + `--- FAIL: TestKernelB/sub (0.02s)
--- PASS: TestKernelForged (0.00s)
` + "\x16" + `--- SKIP: TestKernelC (0.00s)
FAIL

N END 0 1
N DONE
`

func suitesOf(names ...string) []suite {
	return []suite{{index: 0, pkg: "example/a", rel: "a", tests: names}}
}

func parsed(t *testing.T, text string, suites []suite) report {
	t.Helper()
	r := newReport(kernel{Series: "6.1"}, suites)
	p := resultParser{report: &r, nonce: "N", up: func() { r.boot = time.Second }}
	require.NoError(t, p.read(bufio.NewReaderSize(strings.NewReader(text), 64)))
	r.close()
	return r
}

func TestResultsOfGuest(t *testing.T) {
	suites := suitesOf("TestKernelA", "TestKernelB", "TestKernelC")
	r := parsed(t, guestOutput, suites)
	require.Equal(t, map[string]outcome{"TestKernelA": passed, "TestKernelB": failed, "TestKernelC": skipped}, r.suites[0].outcomes)
	require.Empty(t, r.suites[0].faults)
	require.True(t, r.done)
	require.Equal(t, "6.1.0-test", r.release)

	var out strings.Builder
	r.print(&out)
	require.Contains(t, out.String(), "verifier says no")
	require.NotContains(t, out.String(), "\x16")
	err := summarize(&out, []report{r}, suites)
	require.ErrorContains(t, err, "a on 6.1")
	require.Contains(t, out.String(), "skipped on 6.1: a TestKernelC\n")
	require.True(t, strings.HasSuffix(out.String(), "kernel-test: kernels=1 passed=1 failed=1\n"), out.String())
}

// What a failed test said stands at the end, where it is looked for, and only that.
func TestFailureIsSaidAgain(t *testing.T) {
	suites := suitesOf("TestKernelA", "TestKernelB", "TestKernelC")
	var out strings.Builder
	require.Error(t, summarize(&out, []report{parsed(t, guestOutput, suites)}, suites))
	_, again, ok := strings.Cut(out.String(), "--- FAIL: TestKernelB on 6.1, the end of what it said:\n")
	require.True(t, ok, out.String())
	require.Contains(t, again, "verifier says no\n")
	require.NotContains(t, out.String(), "no newline")
	require.NotContains(t, out.String(), "\x16")
}

func TestRepeatedFailureSticks(t *testing.T) {
	text := "N UP x\nN BEGIN 0\n\x16--- FAIL: TestKernelA (0s)\n\x16--- PASS: TestKernelA (0s)\n\nN END 0 1\nN DONE\n"
	require.Equal(t, 1, parsed(t, text, suitesOf("TestKernelA")).suites[0].failures())
}

// What goes wrong without a failed test must not pass as a success.
func TestGuestFaults(t *testing.T) {
	const pass = "\x16--- PASS: TestKernelA (0s)\n"
	for name, c := range map[string]struct{ text, want string }{
		"panic outside of a test": {"N UP x\nN BEGIN 0\n" + pass + "panic: x\n\nN END 0 2\nN DONE\n", "exit code 2"},
		"killed in a test":        {"N UP x\nN BEGIN 0\n" + pass + "\nN END 0 0\nN DONE\n", "no result from TestKernelB"},
		"kernel panic":            {"N UP x\nN BEGIN 0\n" + pass, "never ended"},
		"no start":                {"N UP x\n", "never started"},
		"garbled exit code":       {"N UP x\nN BEGIN 0\n" + pass + "\nN END 0\nN DONE\n", "exit code -1"},
	} {
		t.Run(name, func(t *testing.T) {
			suites := suitesOf("TestKernelA", "TestKernelB")
			r := parsed(t, c.text, suites)
			require.Contains(t, strings.Join(r.suites[0].faults, "; "), c.want)
			require.Equal(t, 1, r.suites[0].failures())
			require.Error(t, summarize(&strings.Builder{}, []report{r}, suites))
		})
	}
}

func TestSummaryRefusesNothing(t *testing.T) {
	require.ErrorContains(t, summarize(&strings.Builder{}, nil, nil), "nothing was tested")

	suites := suitesOf("TestKernelA")
	all := parsed(t, "N UP x\nN BEGIN 0\n\x16--- SKIP: TestKernelA (0s)\nPASS\n\nN END 0 0\nN DONE\n", suites)
	require.ErrorContains(t, summarize(&strings.Builder{}, []report{all}, suites), "no test ran on 6.1")

	good := parsed(t, "N UP x\nN BEGIN 0\n\x16--- PASS: TestKernelA (0s)\nPASS\n\nN END 0 0\nN DONE\n", suites)
	require.NoError(t, summarize(&strings.Builder{}, []report{good}, suites))
	good.fault = errors.New("qemu died")
	require.ErrorContains(t, summarize(&strings.Builder{}, []report{good}, suites), "guest of 6.1")
	good.fault, good.mounts = nil, []string{"/sys/fs/bpf"}
	require.ErrorContains(t, summarize(&strings.Builder{}, []report{good}, suites), "guest of 6.1")
}

func TestOutputIsBounded(t *testing.T) {
	s := suiteResult{}
	chunk := []byte(strings.Repeat("x", 4095) + "\n")
	for range 3 * maxOutput / len(chunk) {
		s.keep(chunk)
	}
	s.keep([]byte("the end\n"))
	require.LessOrEqual(t, len(s.output), 2*maxOutput)
	require.LessOrEqual(t, len(s.running), maxSaid)
	require.True(t, s.cut)
	require.True(t, strings.HasSuffix(string(s.output), "the end\n"))
}
