// Package selfmetrics reads the collector's own telemetry from its Prometheus endpoint, in the text
// format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
package selfmetrics

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Metrics maps a series, name with labels as printed, to its value.
type Metrics map[string]float64

// Read gets url once.
func Read(ctx context.Context, url string) (Metrics, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("collector telemetry: %w", err)
	}
	// Its own connection, closed at once: nothing of ours stays open when the collector stops.
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("collector telemetry at %s cannot be read: %w", url, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("collector telemetry at %s: status %d", url, resp.StatusCode)
	}
	m, err := Parse(io.LimitReader(resp.Body, 32<<20))
	if err != nil {
		return nil, fmt.Errorf("collector telemetry at %s: %w", url, err)
	}
	return m, nil
}

// Parse reads the text format; comments are skipped, timestamps ignored.
func Parse(r io.Reader) (Metrics, error) {
	m := Metrics{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		series, rest, err := cut(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		value, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: value of %s: %w", n, series, err)
		}
		m[series] = v
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return m, nil
}

var errSyntax = errors.New("not a series and a value")

// cut separates the series from what follows; a label value may contain blanks and braces.
func cut(line string) (series, rest string, err error) {
	brace := strings.IndexByte(line, '{')
	if blank := strings.IndexByte(line, ' '); brace < 0 || blank >= 0 && blank < brace {
		if blank < 0 {
			return "", "", errSyntax
		}
		return line[:blank], line[blank:], nil
	}
	quoted := false
	for i := brace; i < len(line); i++ {
		switch {
		case quoted && line[i] == '\\':
			i++
		case line[i] == '"':
			quoted = !quoted
		case line[i] == '}' && !quoted:
			return line[:i+1], line[i+1:], nil
		}
	}
	return "", "", errSyntax
}

// Name of a series, without its labels.
func Name(series string) string {
	name, _, _ := strings.Cut(series, "{")
	return name
}

// LostPrefix starts the names of the receiver's metrics.
const LostPrefix = "otelcol_receiver_ebpf_span_"

// ErrNoLost says that the collector has no counter of lost records: nothing is known about losses.
var ErrNoLost = errors.New("the collector has no metric " + LostPrefix + "*lost*: it does not say whether records were lost")

// Lost sums what the receiver lost, because a buffer or map was full or memory could not be read, and names the series
// above zero, sorted.
func (m Metrics) Lost() (sum float64, series []string, err error) {
	found := false
	for s, v := range m {
		if n := Name(s); !strings.HasPrefix(n, LostPrefix) || !strings.Contains(n, "lost") {
			continue
		}
		found = true
		if v != 0 {
			sum += v
			series = append(series, fmt.Sprintf("%s %v", s, v))
		}
	}
	if !found {
		return 0, nil, ErrNoLost
	}
	sort.Strings(series)
	return sum, series, nil
}

// Discards are the series above zero that count anything not delivered, sorted.
func (m Metrics) Discards() []string {
	var out []string
	for series, v := range m {
		if v == 0 {
			continue
		}
		name := Name(series)
		for _, word := range []string{"lost", "dropped", "refused", "failed", "late", "ambigu", "orphan", "unlinked", "duplicate", "malformed", "skipped", "conflict", "evicted", "error", "missing"} {
			if strings.Contains(name, word) && !strings.HasSuffix(name, "_bucket") {
				out = append(out, fmt.Sprintf("%s %v", series, v))
				break
			}
		}
	}
	sort.Strings(out)
	return out
}
