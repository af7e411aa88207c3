// Package check compares received spans with what the demo knows it asked for. The truth is the id
// in the URL path, never anything the collector says about itself. Redis spans carry no id, since
// keys are redacted: they are known by the span they stand under, and which commands a request uses
// follows from its id, so a command under the wrong request is (with odds of 7 in 8) a wrong one.
package check

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/plan"
	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/span"
)

// Tolerance by which a child may start outside its parent's interval: the two are timed at
// different moments of two system calls.
const Tolerance = time.Millisecond

// Problem names, as printed.
const (
	WrongParent  = "wrong_parents" // linked to another span than the one that caused it
	Orphan       = "orphans"       // has a parent by the plan, and none here
	Missing      = "missing"       // planned, and not received
	Duplicate    = "duplicates"    // one exchange received more than once
	Split        = "split"         // one request in several traces
	Merged       = "merged"        // several requests in one trace
	Unexpected   = "unexpected"    // nobody planned it
	OutsideTime  = "outside_time"  // starts before or after its parent's interval
	NoEvidence   = "no_evidence"   // linked without ebpf.link.rule or confidence
	PendingSpan  = "pending"       // a span that was for linking only came through
	ForeignTrace = "foreign"       // a process that the demo did not start
)

var order = []string{WrongParent, Orphan, Missing, Duplicate, Split, Merged, Unexpected, OutsideTime, NoEvidence, PendingSpan, ForeignTrace}

// Finding is one thing that is wrong.
type Finding struct {
	Problem string
	// Request is the id of the request concerned, or "".
	Request string
	Trace   pcommon.TraceID
	Text    string
}

// Report is the result of a check.
type Report struct {
	// Requests were checked; Whole of them had nothing wrong.
	Requests, Whole int
	// Traces and Spans are those of the checked requests.
	Traces, Spans int
	// Background counts the background calls of which both ends were seen, unlinked as they must be.
	Background int
	// Rules counts links by rule; Weakest is the lowest confidence of each.
	Rules    map[string]int
	Weakest  map[string]float64
	Findings []Finding
}

// Count is the number of findings of one problem.
func (r *Report) Count(problem string) int {
	n := 0
	for _, f := range r.Findings {
		if f.Problem == problem {
			n++
		}
	}
	return n
}

// OK says that something was checked and nothing is wrong.
func (r *Report) OK() bool { return r.Requests > 0 && r.Spans > 0 && len(r.Findings) == 0 }

// Problems is one line with the problems that occurred and how often; "" when none.
func (r *Report) Problems() string {
	var parts []string
	for _, p := range order {
		if n := r.Count(p); n > 0 {
			parts = append(parts, fmt.Sprintf("%s=%d", p, n))
		}
	}
	return strings.Join(parts, " ")
}

// Load describes what was run.
type Load struct {
	Requests []plan.Request
	// Start is when the first of them was sent, wall nanoseconds. Spans without an id that began
	// earlier belong to the warm-up, which may be half captured.
	Start int64
}

type key struct{ service, kind, path string }

type checker struct {
	report   Report
	spans    []*span.Span
	byKey    map[key][]*span.Span
	byID     map[pcommon.SpanID]*span.Span
	children map[pcommon.SpanID][]*span.Span
	// owner is the request a span was matched to: an id, or background and the path.
	owner map[*span.Span]string
}

// Run checks everything received against the load.
func Run(load Load, received []span.Span) *Report {
	c := &checker{
		byKey: map[key][]*span.Span{}, byID: map[pcommon.SpanID]*span.Span{},
		children: map[pcommon.SpanID][]*span.Span{}, owner: map[*span.Span]string{},
	}
	c.report.Rules, c.report.Weakest = map[string]int{}, map[string]float64{}
	c.index(received)
	for _, r := range load.Requests {
		c.request(r)
	}
	c.background(load)
	c.rest(load)
	c.merged()
	return &c.report
}

func (c *checker) find(problem, request string, s *span.Span, format string, args ...any) {
	f := Finding{Problem: problem, Request: request, Text: fmt.Sprintf(format, args...)}
	if s != nil {
		f.Trace = s.Trace
	}
	c.report.Findings = append(c.report.Findings, f)
}

// index keeps the first span of each span id; a second one is a duplicate, whatever it says.
func (c *checker) index(received []span.Span) {
	for i := range received {
		s := &received[i]
		if s.Pending {
			c.find(PendingSpan, plan.PathID(s.Path), s, "%s was forwarded while still open", describe(s))
			continue
		}
		if s.ID.IsEmpty() || s.Trace.IsEmpty() {
			c.find(Unexpected, plan.PathID(s.Path), s, "%s has no span id or no trace id", describe(s))
			continue
		}
		if _, twice := c.byID[s.ID]; twice {
			c.find(Duplicate, plan.PathID(s.Path), s, "%s came twice with span id %s", describe(s), s.ID)
			continue
		}
		c.byID[s.ID] = s
		c.spans = append(c.spans, s)
		if s.Path != "" {
			k := key{s.Service, s.Kind, s.Path}
			c.byKey[k] = append(c.byKey[k], s)
		}
		if !s.Parent.IsEmpty() {
			c.children[s.Parent] = append(c.children[s.Parent], s)
		}
	}
}

func (c *checker) request(r plan.Request) {
	c.report.Requests++
	before := len(c.report.Findings)
	traces := map[pcommon.TraceID]bool{}
	c.http(r.ID, r.Root, nil, true, traces)
	c.report.Traces += len(traces)
	if len(traces) > 1 {
		ids := make([]string, 0, len(traces))
		for t := range traces {
			ids = append(ids, t.String())
		}
		sort.Strings(ids)
		c.report.Findings = append(c.report.Findings, Finding{
			Problem: Split, Request: r.ID,
			Text: fmt.Sprintf("request %s is in %d traces: %s", r.ID, len(ids), strings.Join(ids, " ")),
		})
	}
	if len(c.report.Findings) == before {
		c.report.Whole++
	}
}

// take marks s as explained by the request.
func (c *checker) take(id string, s *span.Span, traces map[pcommon.TraceID]bool) {
	c.owner[s] = id
	c.report.Spans++
	traces[s.Trace] = true
}

// http finds the span of an HTTP node and everything below it. parent is the received span it must
// be linked to, nil when root, or when that one is missing.
func (c *checker) http(id string, n *plan.Node, parent *span.Span, root bool, traces map[pcommon.TraceID]bool) {
	found := c.byKey[key{n.Service, string(n.Kind), n.Path}]
	var s *span.Span
	switch len(found) {
	case 0:
		c.find(Missing, id, nil, "%s %s %s was not received", n.Service, n.Kind, n.Path)
	default:
		s = found[0]
		c.take(id, s, traces)
		for _, extra := range found[1:] {
			c.owner[extra] = id
			traces[extra.Trace] = true
			c.find(Duplicate, id, extra, "%s was received again as span %s", describe(s), extra.ID)
		}
		if root {
			c.mustBeRoot(id, s)
		} else {
			c.linked(id, s, parent)
		}
	}
	var commands []*plan.Node
	for _, child := range n.Children {
		if child.Op != "" {
			commands = append(commands, child)
			continue
		}
		c.http(id, child, s, false, traces)
	}
	c.redis(id, s, n, commands, traces)
}

// redis compares the commands below a SERVER span with those planned.
func (c *checker) redis(id string, parent *span.Span, n *plan.Node, planned []*plan.Node, traces map[pcommon.TraceID]bool) {
	byOp := map[string][]*span.Span{}
	if parent != nil {
		for _, s := range c.children[parent.ID] {
			if s.Redis != "" && s.Kind == string(plan.Client) && s.Service == n.Service {
				byOp[s.Redis] = append(byOp[s.Redis], s)
			}
		}
	}
	for _, p := range planned {
		found := byOp[p.Op]
		if len(found) == 0 {
			c.find(Missing, id, parent, "no redis %s below %s %s", p.Op, n.Service, n.Path)
			continue
		}
		s := found[0]
		byOp[p.Op] = found[1:]
		c.take(id, s, traces)
		c.linked(id, s, parent)
		c.redisServer(id, s, traces)
	}
	for _, left := range byOp {
		for _, s := range left {
			c.owner[s] = id
			traces[s.Trace] = true
			c.find(WrongParent, id, s, "%s stands below %s, which did not send it", describe(s), describe(parent))
			c.redisServer(id, s, traces)
		}
	}
}

// redisServer checks the other end of one command.
func (c *checker) redisServer(id string, client *span.Span, traces map[pcommon.TraceID]bool) {
	matched := false
	for _, s := range c.children[client.ID] {
		switch {
		case s.Service != plan.Redis || s.Kind != string(plan.Server) || s.Redis != client.Redis ||
			ports(s) && ports(client) && s.PeerPort != client.LocalPort:
			c.owner[s] = id
			c.find(WrongParent, id, s, "%s stands below %s, which is another exchange", describe(s), describe(client))
		case matched:
			c.owner[s] = id
			c.find(Duplicate, id, s, "%s has a second SERVER span %s", describe(client), s.ID)
		default:
			matched = true
			c.take(id, s, traces)
			c.linked(id, s, client)
		}
	}
	if !matched {
		c.find(Missing, id, client, "no SERVER span below %s", describe(client))
	}
}

func ports(s *span.Span) bool { return s.LocalPort != 0 && s.PeerPort != 0 }

// linked checks the parent of a span that must have one.
func (c *checker) linked(id string, s, parent *span.Span) {
	actual := c.byID[s.Parent]
	switch {
	case s.Parent.IsEmpty():
		c.find(Orphan, id, s, "%s has no parent", describe(s))
		return
	case actual == nil:
		c.find(Orphan, id, s, "%s has parent %s, which was not received", describe(s), s.Parent)
		return
	case actual != parent:
		c.find(WrongParent, id, s, "%s is linked to %s, not to %s", describe(s), describe(actual), describe(parent))
	default:
		if late := s.Start - actual.End; s.Start < actual.Start-int64(Tolerance) || late > int64(Tolerance) {
			c.find(OutsideTime, id, s, "%s starts %s after its parent's start, which lasts %s", describe(s),
				time.Duration(s.Start-actual.Start), actual.Duration())
		}
	}
	if actual.Trace != s.Trace {
		c.find(Split, id, s, "%s is in another trace than its parent", describe(s))
	}
	if s.Rule == "" || !s.HasConfidence {
		c.find(NoEvidence, id, s, "%s is linked and says neither rule nor confidence", describe(s))
		return
	}
	c.report.Rules[s.Rule]++
	if w, ok := c.report.Weakest[s.Rule]; !ok || s.Confidence < w {
		c.report.Weakest[s.Rule] = s.Confidence
	}
}

func (c *checker) mustBeRoot(id string, s *span.Span) {
	if s.Parent.IsEmpty() {
		return
	}
	if p := c.byID[s.Parent]; p != nil {
		c.find(WrongParent, id, s, "%s is a root and is linked to %s", describe(s), describe(p))
		return
	}
	c.find(WrongParent, id, s, "%s is a root and has parent %s, which was not received", describe(s), s.Parent)
}

// background: the CLIENT end has no parent, the SERVER end has that one. A call that was running
// when tracing began or ended may lack an end; one between others may not.
func (c *checker) background(load Load) {
	paths := map[string]bool{}
	first, last := map[string]int{}, map[string]int{}
	early := map[string]bool{} // paths of calls before the load, when tracing may have been starting
	for _, s := range c.spans {
		if !strings.HasPrefix(s.Path, plan.BackgroundPrefix) {
			continue
		}
		paths[s.Path] = true
		who, n := backgroundCall(s.Path)
		if old, ok := first[who]; !ok || n < old {
			first[who] = n
		}
		last[who] = max(last[who], n)
		early[s.Path] = early[s.Path] || s.Start < load.Start
	}
	sorted := make([]string, 0, len(paths))
	for p := range paths {
		sorted = append(sorted, p)
	}
	sort.Strings(sorted)
	for _, p := range sorted {
		who, n := backgroundCall(p)
		c.backgroundOne(p, early[p] || n == first[who] || n == last[who])
	}
}

// backgroundCall splits /background/<service>-<n>.
func backgroundCall(path string) (string, int) {
	name := strings.TrimPrefix(path, plan.BackgroundPrefix)
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return name, 0
	}
	n, err := strconv.Atoi(name[i+1:])
	if err != nil {
		return name, 0
	}
	return name[:i], n
}

func (c *checker) backgroundOne(path string, edge bool) {
	who, _ := backgroundCall(path)
	owner := "background " + path
	var clients, servers []*span.Span
	for _, s := range c.spans {
		if s.Path != path {
			continue
		}
		c.owner[s] = owner
		switch s.Kind {
		case string(plan.Client):
			clients = append(clients, s)
		case string(plan.Server):
			servers = append(servers, s)
		}
	}
	for _, group := range [][]*span.Span{clients, servers} {
		for _, extra := range group[min(1, len(group)):] {
			c.find(Duplicate, "", extra, "%s was received again as span %s", describe(group[0]), extra.ID)
		}
	}
	var client *span.Span
	if len(clients) > 0 {
		client = clients[0]
		if client.Service != who {
			c.find(Unexpected, "", client, "%s: only %s calls that", describe(client), who)
		}
		c.mustBeRoot("", client)
	}
	if len(servers) > 0 {
		switch server := servers[0]; {
		case client != nil:
			before := len(c.report.Findings)
			c.linked("", server, client)
			if len(c.report.Findings) == before && client.Parent.IsEmpty() {
				c.report.Background++
			}
		case edge && server.Parent.IsEmpty():
		case edge:
			c.mustBeRoot("", server)
		default:
			c.find(Missing, "", server, "%s has no CLIENT span", describe(server))
		}
	} else if !edge {
		c.find(Missing, "", client, "%s has no SERVER span", describe(client))
	}
}

// rest looks at the spans that no request explained.
func (c *checker) rest(load Load) {
	known := map[string]bool{}
	for _, s := range plan.Services {
		known[s] = true
	}
	checked := map[string]bool{}
	for _, r := range load.Requests {
		checked[r.ID] = true
	}
	for _, s := range c.spans {
		if _, ok := c.owner[s]; ok {
			continue
		}
		id := plan.PathID(s.Path)
		switch {
		case !known[s.Service]:
			c.find(ForeignTrace, "", s, "%s is not a service of the demo", describe(s))
		case checked[id]:
			c.owner[s] = id
			c.find(Unexpected, id, s, "%s is not part of request %s", describe(s), id)
		case s.Path != "" && id != "":
			// A probe or warm-up request: it may be half captured, but it is never part of a
			// checked one, which merged sees.
			c.owner[s] = id
		case c.underWarmup(s, checked), s.Start < load.Start:
			continue
		case s.Redis != "" && s.Parent.IsEmpty():
			c.find(Orphan, "", s, "%s has no parent", describe(s))
		case s.Redis != "" && c.byID[s.Parent] == nil:
			c.find(Orphan, "", s, "%s has parent %s, which was not received", describe(s), s.Parent)
		case c.endOf(s):
			// Its CLIENT span is what is reported.
		case s.Redis != "":
			// Commands below the right kind of parent were taken with their request.
			c.find(WrongParent, "", s, "%s is linked to %s", describe(s), describe(c.byID[s.Parent]))
		default:
			c.find(Unexpected, "", s, "%s was not asked for", describe(s))
		}
	}
}

// endOf says whether s is the SERVER end of a command that stands nowhere itself.
func (c *checker) endOf(s *span.Span) bool {
	p := c.byID[s.Parent]
	if p == nil || p.Kind != string(plan.Client) || p.Redis == "" || p.Redis != s.Redis || s.Service != plan.Redis {
		return false
	}
	_, taken := c.owner[p]
	return !taken
}

// underWarmup says whether s hangs below a span of an unchecked request.
func (c *checker) underWarmup(s *span.Span, checked map[string]bool) bool {
	for range 16 {
		s = c.byID[s.Parent]
		if s == nil {
			return false
		}
		if s.Path != "" {
			id := plan.PathID(s.Path)
			return id != "" && !checked[id]
		}
	}
	return false
}

// merged finds traces that hold spans of more than one request or background call.
func (c *checker) merged() {
	owners := map[pcommon.TraceID]map[string]bool{}
	for s, o := range c.owner {
		if owners[s.Trace] == nil {
			owners[s.Trace] = map[string]bool{}
		}
		owners[s.Trace][o] = true
	}
	for t, set := range owners {
		if len(set) < 2 {
			continue
		}
		names := make([]string, 0, len(set))
		for o := range set {
			names = append(names, o)
		}
		sort.Strings(names)
		c.report.Findings = append(c.report.Findings, Finding{
			Problem: Merged, Request: names[0], Trace: t,
			Text: fmt.Sprintf("trace %s holds %d unrelated requests: %s", t, len(names), strings.Join(names[:min(4, len(names))], ", ")),
		})
	}
}

func describe(s *span.Span) string {
	if s == nil {
		return "(a span that was not received)"
	}
	return s.Service + " " + s.Kind + " " + s.Operation()
}
