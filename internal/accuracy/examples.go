package main

import (
	"fmt"
	"io"
	"sort"
	"strings"
)

// examples are the first few calls of each kind that went wrong, for -explain, as text: a cell stays until the end
// of the run, and a span held by it would stay as well, with some 2 KB of attributes. Of what a run of -plan real
// leaves unlinked, that was 5 GB.
type examples struct {
	limit int // of each kind
	lists [mistakes][]string
}

// mistake is a kind of call that went wrong.
type mistake int

const (
	wrongLink mistake = iota
	noLink
	falseParent
	wrongLate
	noSpan
	mistakes
)

// mistakeNames: of a raw span, and in the finished trace, where it is worth its own line.
var mistakeNames = [mistakes]struct{ raw, trace string }{
	wrongLink:   {"wrong", "wrong in its trace"},
	noLink:      {"unlinked", ""},
	falseParent: {"false parent", "false parent in its trace"},
	wrongLate:   {"", "wrong late link"},
	noSpan:      {"no span", ""},
}

func (e *examples) add(m mistake, what func() string) {
	if len(e.lists[m]) < e.limit {
		e.lists[m] = append(e.lists[m], what())
	}
}

// call adds one that was linked to the request with the path claimed.
func (e *examples) call(m mistake, call *span, claimed string) {
	e.add(m, func() string {
		var attrs []string
		for k, a := range call.attrs.All() {
			if strings.HasPrefix(k, "ebpf.") || strings.HasPrefix(k, "go.") || k == "network.local.port" {
				attrs = append(attrs, k+"="+a.AsString())
			}
		}
		sort.Strings(attrs)
		to := ""
		if claimed != "" {
			to = " → " + claimed
		}
		return fmt.Sprintf("%s%s %s", call.path, to, strings.Join(attrs, " "))
	})
}

// explain prints some of the calls that went wrong, with the link attributes of their spans.
func (c *cell) explain(w io.Writer) {
	line := func(what, example string) {
		fmt.Fprintf(w, "%s c=%d %s: %s\n", c.workload, c.setting.Concurrency, what, example)
	}
	for m, name := range mistakeNames {
		for _, of := range []struct {
			what string
			list []string
		}{{name.raw, c.examples.lists[m]}, {name.trace, c.traces.examples.lists[m]}} {
			if of.what == "" {
				continue
			}
			for _, example := range of.list {
				line(of.what, example)
			}
		}
	}
	if len(c.examples.lists[noSpan]) > 0 {
		line("discarded", counted(c.discarded))
	}
}
