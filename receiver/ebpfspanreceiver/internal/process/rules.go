package process

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// PortRange is a range of TCP ports, both ends included. Last 0 means First alone.
type PortRange struct {
	First int `mapstructure:"first"`
	Last  int `mapstructure:"last"`
}

// String is the form that UnmarshalText reads.
func (r PortRange) String() string {
	if r.Last == 0 || r.Last == r.First {
		return strconv.Itoa(r.First)
	}
	return strconv.Itoa(r.First) + "-" + strconv.Itoa(r.Last)
}

// UnmarshalText reads "8080" or "8000-8999". Whether the numbers are ports is for Validate to say.
func (r *PortRange) UnmarshalText(text []byte) error {
	first, last, two := strings.Cut(string(text), "-")
	var err, err2 error
	r.First, err = strconv.Atoi(strings.TrimSpace(first))
	r.Last = r.First
	if two {
		r.Last, err2 = strconv.Atoi(strings.TrimSpace(last))
	}
	if err != nil || err2 != nil {
		return fmt.Errorf("%q is not a port: write 8080 or 8000-8999", text)
	}
	return nil
}

// ParsePort reads a port as YAML gives it, a number or a text such as "8000-8999". Whether the
// numbers are ports is for Validate to say.
func ParsePort(v any) (PortRange, error) {
	switch v := v.(type) {
	case int:
		return PortRange{First: v, Last: v}, nil
	case int64:
		return PortRange{First: int(v), Last: int(v)}, nil
	case string:
		var r PortRange
		err := r.UnmarshalText([]byte(v))
		return r, err
	}
	return PortRange{}, fmt.Errorf("%v is not a port: write 8080 or 8000-8999", v)
}

func (r PortRange) normal() PortRange {
	if r.Last == 0 {
		r.Last = r.First
	}
	return r
}

func (r PortRange) contains(port uint16) bool {
	r = r.normal()
	return r.First <= int(port) && int(port) <= r.Last
}

// Selector names processes. Every criterion that is given must hold; of the values of one criterion
// any. The doc comment of the package says what each compares.
type Selector struct {
	// Exe holds globs on the executable's path, or on its base name when there is no slash.
	Exe []string `mapstructure:"exe"`
	// Env holds NAME (set and not empty) or NAME=glob.
	Env []string `mapstructure:"env"`
	// PIDs are process ids as /proc shows them.
	PIDs []int `mapstructure:"pids"`
	// Ports are TCP ports that the process listens on. YAML has numbers and texts here, which ParsePort
	// reads; a configuration decoder alone does not.
	Ports []PortRange `mapstructure:"-"`
	// CGroup holds globs on the path of the cgroup or of one above it.
	CGroup []string `mapstructure:"cgroup"`
	// Container holds globs on the container id, or at least 12 of its first characters.
	Container []string `mapstructure:"container"`
}

func (s *Selector) empty() bool {
	return len(s.Exe)+len(s.Env)+len(s.PIDs)+len(s.Ports)+len(s.CGroup)+len(s.Container) == 0
}

// key is equal for selectors that ask the same, whatever the order and repetition of their values.
func (s *Selector) key() string {
	var b strings.Builder
	list := func(v []string) {
		v = slices.Clone(v)
		slices.Sort(v)
		fmt.Fprintf(&b, "%q;", slices.Compact(v))
	}
	list(s.Exe)
	list(s.Env)
	list(s.CGroup)
	list(s.Container)
	pids := slices.Clone(s.PIDs)
	slices.Sort(pids)
	ports := make([]PortRange, len(s.Ports))
	for i, r := range s.Ports {
		ports[i] = r.normal()
	}
	slices.SortFunc(ports, func(a, b PortRange) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	fmt.Fprintf(&b, "%v;%v", slices.Compact(pids), slices.Compact(ports))
	return b.String()
}

// Rules decide which processes are traced: those that match an include selector, or all, and no
// exclude selector. Exclusion always wins, and the collector itself is never selected.
type Rules struct {
	Include []Selector `mapstructure:"include"`
	Exclude []Selector `mapstructure:"exclude"`
	All     bool       `mapstructure:"all"`
}

// DefaultRules select what names itself a service.
func DefaultRules() Rules {
	return Rules{Include: []Selector{
		{Env: []string{envServiceName}},
		{Env: []string{envDDService}},
		{Env: []string{envDatakit}},
	}}
}

// Validate returns every fault of the rules at once, each with its place below "discovery", the
// value and what is allowed.
func (r *Rules) Validate() error {
	_, err := r.compile()
	return err
}

// maxPID is PID_MAX_LIMIT on 64 bits, include/linux/threads.h.
const maxPID = 4 << 20

type envRule struct {
	name  string
	value *glob // nil: set and not empty
}

type compiledSelector struct {
	exe       []pathGlob
	env       []envRule
	pids      []int
	ports     []PortRange
	cgroup    []glob
	container []glob
}

type compiledRules struct {
	include, exclude []compiledSelector
	all              bool
	names            map[string]struct{} // environment names to retain
	ports            bool                // some selector asks for a port
}

func (r *Rules) compile() (*compiledRules, error) {
	c := &compiledRules{all: r.All, names: map[string]struct{}{}}
	for _, n := range describingNames {
		c.names[n] = struct{}{}
	}
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if r.All && len(r.Include) > 0 {
		fail("discovery.all: true contradicts discovery.include (%d selectors): "+
			"remove one of them; to leave processes out use discovery.exclude", len(r.Include))
	}
	if !r.All && len(r.Include) == 0 {
		fail("discovery: selects no process: give discovery.include at least one selector, " +
			"or set discovery.all: true")
	}
	included := map[string]int{}
	for i := range r.Include {
		place := fmt.Sprintf("discovery.include[%d]", i)
		c.include = append(c.include, c.selector(place, &r.Include[i], fail))
		if _, seen := included[r.Include[i].key()]; !seen {
			included[r.Include[i].key()] = i
		}
	}
	for i := range r.Exclude {
		place := fmt.Sprintf("discovery.exclude[%d]", i)
		c.exclude = append(c.exclude, c.selector(place, &r.Exclude[i], fail))
		if j, same := included[r.Exclude[i].key()]; same && !r.Exclude[i].empty() {
			fail("%s: is the same selector as discovery.include[%d], which therefore selects "+
				"nothing: remove one of them", place, j)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// wantsPort: some selector asks for this port, so who listens on it matters.
func (c *compiledRules) wantsPort(port uint16) bool {
	for _, side := range [][]compiledSelector{c.include, c.exclude} {
		for i := range side {
			for _, r := range side[i].ports {
				if r.contains(port) {
					return true
				}
			}
		}
	}
	return false
}

func (c *compiledRules) selector(place string, s *Selector, fail func(string, ...any)) compiledSelector {
	var out compiledSelector
	if s.empty() {
		fail("%s: is empty: give at least one of exe, env, pids, open_ports, cgroup, container", place)
	}
	for i, p := range s.Exe {
		g, err := compilePathGlob(p)
		if err != nil {
			fail("%s.exe[%d]: %q %w: allowed is a path or base name with * ** ? [a-z]", place, i, p, err)
			continue
		}
		out.exe = append(out.exe, g)
	}
	for i, e := range s.Env {
		name, pattern, hasValue := strings.Cut(e, "=")
		if name == "" || strings.ContainsAny(name, "\x00 ") {
			fail("%s.env[%d]: %q has no valid variable name: allowed is NAME or NAME=glob, "+
				"the name without spaces", place, i, e)
			continue
		}
		rule := envRule{name: name}
		if hasValue {
			g, err := compileGlob(pattern, false)
			if err != nil {
				fail("%s.env[%d]: value pattern %q %w: allowed is a value with * ? [a-z], "+
					"or the name %q alone to ask that it is set", place, i, pattern, err, name)
				continue
			}
			rule.value = &g
		}
		c.names[name] = struct{}{}
		out.env = append(out.env, rule)
	}
	for i, p := range s.PIDs {
		if p <= 0 || p > maxPID {
			fail("%s.pids[%d]: %d: allowed is 1 to %d", place, i, p, maxPID)
		}
	}
	out.pids = s.PIDs
	for i, r := range s.Ports {
		n := r.normal()
		switch {
		case n.First < 1 || n.First > 65535 || n.Last < 1 || n.Last > 65535:
			fail("%s.open_ports[%d]: %s: allowed is 1 to 65535", place, i, r)
		case n.Last < n.First:
			fail("%s.open_ports[%d]: %s is inverted: allowed is first-last with first not above last, "+
				"here %d-%d", place, i, r, n.Last, n.First)
		}
	}
	out.ports = s.Ports
	c.ports = c.ports || len(s.Ports) > 0
	for i, p := range s.CGroup {
		g, err := compileGlob(p, true)
		if err == nil && p[0] != '/' && !strings.HasPrefix(p, "**") {
			err = errors.New("does not begin with / or **")
		}
		if err != nil {
			fail("%s.cgroup[%d]: %q %w: allowed is a path such as /system.slice/*.service", place, i, p, err)
			continue
		}
		out.cgroup = append(out.cgroup, g)
	}
	for i, p := range s.Container {
		g, err := compileGlob(p, false)
		if err == nil && g.re == nil && len(p) < 12 && isHex(p) {
			err = fmt.Errorf("has %d characters", len(p))
		}
		if err != nil {
			fail("%s.container[%d]: %q %w: allowed is a container id, at least its first 12 "+
				"characters, or a glob", place, i, p, err)
			continue
		}
		out.container = append(out.container, g)
	}
	return out
}

// portFacts is what is known of the ports that a process listens on.
type portFacts struct {
	state portState
	list  []uint16
}

type portState uint8

const (
	portsNotAsked   portState = iota // costly, so only read when the rest holds
	portsUnreadable                  // list may lack some
	portsKnown
)

// truth is the outcome of one selector.
type truth uint8

const (
	no       truth = iota
	deferred       // holds as far as known; the listening ports decide
	unknown        // holds as far as known; a fact could not be read
	yes
)

func (c *compiledSelector) match(p *Process, ports portFacts) truth {
	if len(c.pids) > 0 && !slices.Contains(c.pids, p.PID) {
		return no
	}
	result := yes
	if len(c.exe) > 0 {
		switch {
		case p.Exe == "":
			result = unknown
		case !slices.ContainsFunc(c.exe, func(g pathGlob) bool { return g.match(p.Exe) }):
			return no
		}
	}
	if len(c.env) > 0 && !slices.ContainsFunc(c.env, func(e envRule) bool { return e.match(&p.env) }) {
		if !p.env.denied && !p.env.truncated {
			return no
		}
		result = unknown
	}
	if len(c.cgroup) > 0 {
		switch {
		case p.cgroupUnknown:
			result = unknown
		case !slices.ContainsFunc(c.cgroup, func(g glob) bool { return matchCGroup(g, p.CGroups) }):
			return no
		}
	}
	if len(c.container) > 0 {
		switch {
		case p.ContainerID == "" && p.cgroupUnknown:
			result = unknown
		case !slices.ContainsFunc(c.container, func(g glob) bool { return matchContainer(g, p.ContainerID) }):
			return no
		}
	}
	if len(c.ports) > 0 {
		switch {
		case ports.state == portsNotAsked:
			return deferred
		case slices.ContainsFunc(c.ports, func(r PortRange) bool {
			return slices.ContainsFunc(ports.list, r.contains)
		}):
		case ports.state == portsUnreadable:
			result = unknown
		default:
			return no
		}
	}
	return result
}

func (e envRule) match(env *environ) bool {
	v, ok := env.get(e.name)
	if e.value == nil {
		return ok && v != ""
	}
	return ok && e.value.match(v)
}

// matchCGroup: a cgroup limits what is below it, so a pattern for one covers those below.
func matchCGroup(g glob, groups []CGroup) bool {
	for _, c := range groups {
		for p := c.Path; ; {
			if g.match(p) {
				return true
			}
			n := strings.LastIndexByte(p, '/')
			if n <= 0 {
				break
			}
			p = p[:n]
		}
	}
	return false
}

func matchContainer(g glob, id string) bool {
	if id == "" {
		return false
	}
	if g.re == nil && len(g.literal) >= 12 && isHex(strings.ReplaceAll(g.literal, "-", "")) {
		return strings.HasPrefix(id, g.literal)
	}
	return g.match(id) // LXC's names are whole
}

// verdict is what the rules say of a process.
type verdict uint8

const (
	unselected verdict = iota
	needPorts          // cannot be said without the listening ports
	excluded
	excludedUnknown // an exclude selector could not be ruled out
	selected
	unreadable // an include selector could not be ruled in
)

// decide applies the rules. Facts that could not be read never select and always exclude: a process
// that somebody wanted left alone is left alone.
func (c *compiledRules) decide(p *Process, ports portFacts) verdict {
	wait, doubt := false, false
	for i := range c.exclude {
		switch c.exclude[i].match(p, ports) {
		case yes:
			return excluded
		case unknown:
			doubt = true
		case deferred:
			wait = true
		}
	}
	in := no
	if c.all {
		in = yes
	}
	blind, includeWaits := false, false
	for i := range c.include {
		if in == yes {
			break
		}
		switch c.include[i].match(p, ports) {
		case yes:
			in = yes
		case unknown:
			blind = true
		case deferred:
			includeWaits = true
		}
	}
	switch {
	case in != yes && !includeWaits && blind:
		return unreadable
	case in != yes && !includeWaits:
		return unselected
	case doubt:
		return excludedUnknown
	case in != yes || wait:
		return needPorts
	}
	return selected
}
