package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// loadResult is what wrk reports of one run.
type loadResult struct {
	requests  uint64
	perSecond float64
	p99       time.Duration
	cpu       time.Duration // wrk's own
}

func load(ctx context.Context, o options, d time.Duration, url string) (loadResult, error) {
	cmd := exec.CommandContext(ctx, "wrk", "--latency",
		"-t", fmt.Sprint(o.threads), "-c", fmt.Sprint(o.connections), "-d", fmt.Sprintf("%ds", int(d.Seconds())), url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return loadResult{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	r, err := parseWrk(string(out))
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return r, err
}

var (
	wrkRequests = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)
	wrkRate     = regexp.MustCompile(`(?m)^Requests/sec:\s*([0-9.]+)$`)
	wrkP99      = regexp.MustCompile(`(?m)^\s*99%\s*([0-9.]+(?:us|ms|s|m))$`)
)

// parseWrk reads wrk 4's summary. A run with errors measures something else, so it is refused.
func parseWrk(text string) (loadResult, error) {
	var r loadResult
	for _, bad := range []string{"Socket errors:", "Non-2xx"} {
		if _, after, ok := strings.Cut(text, bad); ok {
			line, _, _ := strings.Cut(after, "\n")
			return r, fmt.Errorf("wrk saw errors, the run does not count: %s%s", bad, line)
		}
	}
	requests, rate, p99 := wrkRequests.FindStringSubmatch(text), wrkRate.FindStringSubmatch(text), wrkP99.FindStringSubmatch(text)
	if requests == nil || rate == nil || p99 == nil {
		return r, fmt.Errorf("wrk's output is not understood (version 4 is expected):\n%s", text)
	}
	var err error
	if r.requests, err = strconv.ParseUint(requests[1], 10, 64); err != nil {
		return r, fmt.Errorf("wrk's requests: %w", err)
	}
	if r.perSecond, err = strconv.ParseFloat(rate[1], 64); err != nil {
		return r, fmt.Errorf("wrk's rate: %w", err)
	}
	if r.p99, err = time.ParseDuration(p99[1]); err != nil {
		return r, fmt.Errorf("wrk's latency: %w", err)
	}
	if r.requests == 0 || r.perSecond <= 0 {
		return r, fmt.Errorf("wrk made no request:\n%s", text)
	}
	return r, nil
}
