// Package tree prints spans as trees of text.
package tree

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/span"
)

// Style of the printed text.
type Style struct {
	// Color adds ANSI colours; for terminals only.
	Color bool
	// Bar is the width of the time bar in columns; 0 for none.
	Bar int
}

const (
	dim    = "\x1b[2m"
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

func (s Style) paint(code, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return code + text + reset
}

type row struct {
	branch string
	sp     *span.Span
	// broken says why the span is not below its parent.
	broken string
}

// Print writes one trace. Spans whose parent was not received stand at the top level and say so;
// every span is printed exactly once, whatever its parent ids form.
func Print(w io.Writer, spans []span.Span, st Style) error {
	if len(spans) == 0 {
		return nil
	}
	rows := layout(spans)
	first, last := spans[0].Start, spans[0].End
	services := map[string]bool{}
	weakest, links := 1.0, 0
	for i := range spans {
		s := &spans[i]
		first, last = min(first, s.Start), max(last, s.End)
		services[s.Service] = true
		if s.HasConfidence {
			weakest, links = min(weakest, s.Confidence), links+1
		}
	}
	head := fmt.Sprintf("trace %s  %s  %d spans, %d services", spans[0].Trace, format(time.Duration(last-first)), len(spans), len(services))
	if links > 0 {
		head += fmt.Sprintf(", weakest link %.3f", weakest)
	}
	var b strings.Builder
	b.WriteString(st.paint(bold, head) + "\n")

	width := 0
	for _, r := range rows {
		width = max(width, utf8.RuneCountInString(r.branch+label(r.sp)))
	}
	for _, r := range rows {
		l := label(r.sp)
		pad := strings.Repeat(" ", width-utf8.RuneCountInString(r.branch+l))
		b.WriteString(st.paint(dim, r.branch) + l + pad)
		fmt.Fprintf(&b, "  %10s", format(r.sp.Duration()))
		if st.Bar > 0 {
			b.WriteString("  " + st.paint(dim, bar(r.sp, first, last, st.Bar)))
		}
		b.WriteString("  " + why(r, st) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// PrintAll writes every trace among spans, oldest first, with an empty line between.
func PrintAll(w io.Writer, spans []span.Span, st Style) error {
	for i, g := range Group(spans) {
		if i > 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		if err := Print(w, g, st); err != nil {
			return err
		}
	}
	return nil
}

// Group splits spans by trace id, oldest trace first.
func Group(spans []span.Span) [][]span.Span {
	by := map[pcommon.TraceID][]span.Span{}
	start := map[pcommon.TraceID]int64{}
	for _, s := range spans {
		if t, ok := start[s.Trace]; !ok || s.Start < t {
			start[s.Trace] = s.Start
		}
		by[s.Trace] = append(by[s.Trace], s)
	}
	out := make([][]span.Span, 0, len(by))
	for _, g := range by {
		out = append(out, g)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i][0].Trace, out[j][0].Trace
		if start[a] != start[b] {
			return start[a] < start[b]
		}
		return a.String() < b.String()
	})
	return out
}

func layout(spans []span.Span) []row {
	order := make([]*span.Span, len(spans))
	present := map[pcommon.SpanID]bool{}
	for i := range spans {
		order[i] = &spans[i]
		present[spans[i].ID] = true
	}
	sort.SliceStable(order, func(i, j int) bool {
		if order[i].Start != order[j].Start {
			return order[i].Start < order[j].Start
		}
		return order[i].Kind > order[j].Kind // SERVER above CLIENT
	})
	children := map[pcommon.SpanID][]*span.Span{}
	var roots []row
	for _, s := range order {
		switch {
		case s.Parent.IsEmpty():
			roots = append(roots, row{sp: s})
		case !present[s.Parent]:
			roots = append(roots, row{sp: s, broken: "parent " + s.Parent.String() + " not received"})
		default:
			children[s.Parent] = append(children[s.Parent], s)
		}
	}
	var rows []row
	seen := map[*span.Span]bool{}
	var walk func(r row, below string)
	walk = func(r row, below string) {
		if seen[r.sp] {
			return
		}
		seen[r.sp] = true
		rows = append(rows, r)
		kids := children[r.sp.ID]
		for i, k := range kids {
			branch, next := below+"├─ ", below+"│  "
			if i == len(kids)-1 {
				branch, next = below+"└─ ", below+"   "
			}
			walk(row{branch: branch, sp: k}, next)
		}
	}
	for _, r := range roots {
		walk(r, "")
	}
	for _, s := range order {
		walk(row{sp: s, broken: "its parents form a cycle"}, "")
	}
	return rows
}

func label(s *span.Span) string {
	service := s.Service
	if service == "" {
		service = "(no service.name)"
	}
	l := service + " " + s.Kind + " " + s.Operation()
	if s.Status != "" && s.Status != "200" {
		l += " [" + s.Status + "]"
	}
	return l
}

func why(r row, st Style) string {
	if r.broken != "" {
		return st.paint(red, r.broken)
	}
	if r.sp.Parent.IsEmpty() {
		return st.paint(dim, "root")
	}
	if r.sp.Rule == "" {
		return st.paint(yellow, "linked without evidence")
	}
	t, color := r.sp.Rule, green
	if r.sp.HasConfidence {
		t += fmt.Sprintf(" %.3f", r.sp.Confidence)
		if r.sp.Confidence < 0.9 {
			color = yellow
		}
	}
	// The hints of a CLIENT span are the evidence behind its link to the request it served.
	if len(r.sp.Hints) > 0 && r.sp.Kind == "CLIENT" {
		t += " (" + strings.Join(r.sp.Hints, ", ") + ")"
	}
	return st.paint(color, t)
}

// bar draws when the span ran between first and last, at least one column wide.
func bar(s *span.Span, first, last int64, width int) string {
	total := float64(max(last-first, 1))
	from := int(float64(s.Start-first) / total * float64(width))
	to := int(float64(s.End-first)/total*float64(width) + 0.999)
	from = min(max(from, 0), width-1)
	to = min(max(to, from+1), width)
	return strings.Repeat("·", from) + strings.Repeat("█", to-from) + strings.Repeat("·", width-to)
}

// format writes a duration with three significant digits or so, in the unit that fits.
func format(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
