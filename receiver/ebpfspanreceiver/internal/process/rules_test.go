package process

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestValidateNamesEveryFault(t *testing.T) {
	r := Rules{
		All: true,
		Include: []Selector{
			{Exe: []string{"/usr/bin/[a", "ok"}, Env: []string{"=x", "NAME=", "FINE"}},
			{},
			{Ports: []PortRange{{First: 0}, {First: 70000}, {First: 90, Last: 80}, {First: 80, Last: 90}}},
			{PIDs: []int{0, -5, 7}, CGroup: []string{"system.slice"}, Container: []string{"abc123", "web*"}},
			{Env: []string{"A", "B"}, Exe: []string{"x"}},
		},
		Exclude: []Selector{{Env: []string{"B", "A", "A"}, Exe: []string{"x"}}, {Exe: []string{`x\`}}},
	}
	err := r.Validate()
	require.Error(t, err)
	assert.Equal(t, strings.TrimSpace(`
discovery.all: true contradicts discovery.include (5 selectors): remove one of them; to leave processes out use discovery.exclude
discovery.include[0].exe[0]: "/usr/bin/[a" has a [ without its ]: allowed is a path or base name with * ** ? [a-z]
discovery.include[0].env[0]: "=x" has no valid variable name: allowed is NAME or NAME=glob, the name without spaces
discovery.include[0].env[1]: value pattern "" is empty: allowed is a value with * ? [a-z], or the name "NAME" alone to ask that it is set
discovery.include[1]: is empty: give at least one of exe, env, pids, open_ports, cgroup, container
discovery.include[2].open_ports[0]: 0: allowed is 1 to 65535
discovery.include[2].open_ports[1]: 70000: allowed is 1 to 65535
discovery.include[2].open_ports[2]: 90-80 is inverted: allowed is first-last with first not above last, here 80-90
discovery.include[3].pids[0]: 0: allowed is 1 to 4194304
discovery.include[3].pids[1]: -5: allowed is 1 to 4194304
discovery.include[3].cgroup[0]: "system.slice" does not begin with / or **: allowed is a path such as /system.slice/*.service
discovery.include[3].container[0]: "abc123" has 6 characters: allowed is a container id, at least its first 12 characters, or a glob
discovery.exclude[0]: is the same selector as discovery.include[4], which therefore selects nothing: remove one of them
discovery.exclude[1].exe[0]: "x\\" ends with a lone \: allowed is a path or base name with * ** ? [a-z]`), err.Error())

	def := DefaultRules()
	assert.NoError(t, def.Validate())
	assert.ErrorContains(t, (&Rules{}).Validate(), "selects no process")
	assert.NoError(t, (&Rules{All: true}).Validate())
}

func TestContainerSelector(t *testing.T) {
	id := "5a081c13b1cf4c0b8e1d0c5f3a2b1c0d-1823487543"
	for pattern, want := range map[string]map[string]bool{
		"5a081c13b1cf":  {id: true, "5a081c13b1ce": false, "": false},
		id:              {id: true, id[:40]: false},
		"5a08*":         {id: true, "5a": false},
		"web-frontend":  {"web-frontend": true, "web-frontend-2": false},
		"web-frontend*": {"web-frontend-2": true},
	} {
		rules := Rules{Include: []Selector{{Container: []string{pattern}}}}
		c, err := rules.compile()
		require.NoError(t, err)
		for id, ok := range want {
			got := c.decide(&Process{ContainerID: id}, portFacts{}) == selected
			assert.Equal(t, ok, got, "%s on %s", pattern, id)
		}
	}
}

func TestPortRangeText(t *testing.T) {
	for in, want := range map[string]PortRange{
		"80": {80, 80}, "8000-8999": {8000, 8999}, " 1 - 2 ": {1, 2},
	} {
		var r PortRange
		require.NoError(t, r.UnmarshalText([]byte(in)))
		assert.Equal(t, want, r)
		var again PortRange
		require.NoError(t, again.UnmarshalText([]byte(r.String())))
		assert.Equal(t, r, again)
	}
	for in, want := range map[any]PortRange{8080: {8080, 8080}, int64(1): {1, 1}, "5-6": {5, 6}} {
		got, err := ParsePort(in)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for _, in := range []any{nil, true, 1.5, "x"} {
		_, err := ParsePort(in)
		assert.ErrorContains(t, err, "is not a port")
	}
	for _, in := range []string{"", "http", "1-", "-1", "1-2-3", "0x50"} {
		var r PortRange
		assert.ErrorContains(t, r.UnmarshalText([]byte(in)), "is not a port", in)
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, yes, no string // words
	}{
		{"nginx", "nginx /usr/sbin/nginx", "nginx2 /nginx/x"},
		{"python3*", "/usr/bin/python3 /usr/bin/python3.13", "/usr/bin/python2 /python3/x"},
		{"/usr/*/nginx", "/usr/sbin/nginx", "/usr/a/b/nginx nginx"},
		{"/srv/**", "/srv/a /srv/a/b", "/srv /srvx/a"},
		{"/**/bin/*", "/a/b/bin/c /a/bin/c", "/bin/c /a/bin/c/d"},
		{"**", "/a/b /x", ""},
		{"?[!0-9]", "/ab /x/zz", "/a1 /abc"},
		{`a\*`, "/a*", "/ab"},
		{"[]a]x", "/]x /ax", "/bx"},
		{"[a-]x", "/-x /ax", "/bx"},
		{"café?", "/cafés", "/cafe"},
	} {
		g, err := compilePathGlob(c.pattern)
		require.NoError(t, err, c.pattern)
		for _, s := range strings.Fields(c.yes) {
			assert.True(t, g.match(s), "%s on %s", c.pattern, s)
		}
		for _, s := range strings.Fields(c.no) {
			assert.False(t, g.match(s), "%s on %s", c.pattern, s)
		}
	}
	for _, p := range []string{"", "[", "[]", "[!", "[a-", "[z-a]", `\`, "a\x00", "[.-0]", "[/]", "\xff", strings.Repeat("a", 5000)} {
		_, err := compileGlob(p, true)
		assert.Error(t, err, "%q", p)
	}
}

// oracleGlob is the slow and obvious meaning of a glob without classes.
func oracleGlob(p, s []rune, isPath bool) bool {
	if len(p) == 0 {
		return len(s) == 0
	}
	switch p[0] {
	case '*':
		deep := len(p) > 1 && p[1] == '*'
		rest := p[1:]
		for len(rest) > 0 && rest[0] == '*' {
			rest = rest[1:]
		}
		for i := 0; i <= len(s); i++ {
			if oracleGlob(rest, s[i:], isPath) {
				return true
			}
			if i < len(s) && s[i] == '/' && isPath && !deep {
				return false
			}
		}
		return false
	case '?':
		return len(s) > 0 && (s[0] != '/' || !isPath) && oracleGlob(p[1:], s[1:], isPath)
	case '\\':
		return len(p) > 1 && len(s) > 0 && p[1] == s[0] && oracleGlob(p[2:], s[1:], isPath)
	}
	return len(s) > 0 && p[0] == s[0] && oracleGlob(p[1:], s[1:], isPath)
}

func FuzzGlob(f *testing.F) {
	for _, p := range []string{"a*b", "**/x", "?", `\*`, "a**b*c", "[a-z]*"} {
		f.Add(p, "a/b/x", true)
		f.Add(p, "aXXbYc", false)
	}
	f.Fuzz(func(t *testing.T, pattern, text string, isPath bool) {
		if len(pattern) > 24 || len(text) > 40 || strings.ToValidUTF8(text, "") != text {
			return
		}
		g, err := compileGlob(pattern, isPath)
		if err != nil {
			return
		}
		got := g.match(text)
		if strings.Contains(pattern, "[") {
			return // only that it ends
		}
		if want := oracleGlob([]rune(pattern), []rune(text), isPath); got != want {
			t.Fatalf("%q on %q (path %v): %v, want %v", pattern, text, isPath, got, want)
		}
	})
}

// randomProcess and randomSelector draw from so few values that matches are common.
func randomProcess(r *rand.Rand) *Process {
	p := &Process{
		PID: 1 + r.IntN(4), Exe: []string{"", "/bin/a", "/bin/b", "/srv/x/a"}[r.IntN(4)],
		ContainerID:   []string{"", strings.Repeat("a", 64), strings.Repeat("b", 64)}[r.IntN(3)],
		cgroupUnknown: r.IntN(6) == 0,
		env: environ{
			values: map[string]string{}, denied: r.IntN(6) == 0, truncated: r.IntN(6) == 0,
		},
	}
	if !p.cgroupUnknown {
		p.CGroups = []CGroup{{V2: true, Path: []string{"/", "/x", "/x/y", "/z"}[r.IntN(4)]}}
	}
	for _, n := range []string{"A", "B"} {
		if !p.env.denied && r.IntN(2) == 0 {
			p.env.values[n] = []string{"", "1", "2"}[r.IntN(3)]
		}
	}
	return p
}

func randomSelector(r *rand.Rand) Selector {
	var s Selector
	some := func() bool { return r.IntN(3) == 0 }
	for s.empty() {
		if some() {
			s.Exe = []string{[]string{"a", "b*", "/srv/**", "/bin/?"}[r.IntN(4)]}
		}
		if some() {
			s.Env = []string{[]string{"A", "B", "A=1", "B=[12]"}[r.IntN(4)]}
		}
		if some() {
			s.PIDs = []int{1 + r.IntN(4)}
		}
		if some() {
			first := 1 + r.IntN(4)
			s.Ports = []PortRange{{First: first, Last: first + r.IntN(2)}}
		}
		if some() {
			s.CGroup = []string{[]string{"/x", "/x/*", "/**"}[r.IntN(3)]}
		}
		if some() {
			s.Container = []string{[]string{"aaaaaaaaaaaa", "b*"}[r.IntN(2)]}
		}
	}
	return s
}

// certainly and possibly are the oracle: whether a selector holds whatever the unreadable facts
// are, and whether it may hold for some.
func oracleSelector(s Selector, p *Process, ports portFacts) (certainly, possibly bool) {
	certainly, possibly = true, true
	and := func(given, holds, unknown bool) {
		if given {
			certainly = certainly && holds
			possibly = possibly && (holds || unknown)
		}
	}
	anyOf := func(patterns []string, isPath bool, texts ...string) bool {
		for _, pattern := range patterns {
			g, _ := compileGlob(pattern, isPath)
			if slices.ContainsFunc(texts, g.match) {
				return true
			}
		}
		return false
	}
	and(len(s.PIDs) > 0, slices.Contains(s.PIDs, p.PID), false)
	exe := false
	for _, pattern := range s.Exe {
		text := p.Exe
		if !strings.Contains(pattern, "/") {
			text = path.Base(text)
		}
		exe = exe || (p.Exe != "" && anyOf([]string{pattern}, true, text))
	}
	and(len(s.Exe) > 0, exe, p.Exe == "")
	env := false
	for _, e := range s.Env {
		name, pattern, hasPattern := strings.Cut(e, "=")
		v, ok := p.env.values[name]
		env = env || (ok && v != "" && !hasPattern) || (ok && hasPattern && anyOf([]string{pattern}, false, v))
	}
	and(len(s.Env) > 0, env, p.env.denied || p.env.truncated)
	var groups []string
	for _, g := range p.CGroups {
		for at := g.Path; ; at = path.Dir(at) {
			groups = append(groups, at)
			if at == "/" || path.Dir(at) == "/" {
				break
			}
		}
	}
	and(len(s.CGroup) > 0, anyOf(s.CGroup, true, groups...), p.cgroupUnknown)
	id := p.ContainerID
	container := id != "" && (anyOf(s.Container, false, id) ||
		slices.ContainsFunc(s.Container, func(c string) bool { return len(c) >= 12 && strings.HasPrefix(id, c) }))
	and(len(s.Container) > 0, container, id == "" && p.cgroupUnknown)
	listens := slices.ContainsFunc(s.Ports, func(r PortRange) bool {
		return slices.ContainsFunc(ports.list, func(n uint16) bool { return r.First <= int(n) && int(n) <= r.Last })
	})
	and(len(s.Ports) > 0, listens, ports.state == portsUnreadable)
	return certainly, possibly
}

// TestExclusionAlwaysWins: whatever is included, a process that an exclude selector matches, or may
// match as far as facts are readable, is never selected; and one that is selected is so for certain.
func TestExclusionAlwaysWins(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	selections, exclusions := 0, 0
	for range 6000 {
		rules := Rules{All: r.IntN(4) == 0}
		if !rules.All {
			for range 1 + r.IntN(3) {
				rules.Include = append(rules.Include, randomSelector(r))
			}
		}
		for range r.IntN(3) {
			rules.Exclude = append(rules.Exclude, randomSelector(r))
		}
		c, err := rules.compile()
		if err != nil {
			require.ErrorContains(t, err, "is the same selector")
			continue
		}
		p := randomProcess(r)
		ports := portFacts{state: portsKnown}
		if r.IntN(6) == 0 {
			ports.state = portsUnreadable
		}
		for range r.IntN(3) {
			ports.list = append(ports.list, uint16(1+r.IntN(5)))
		}
		// As the scanner does: without ports first.
		v := c.decide(p, portFacts{})
		if v == needPorts {
			v = c.decide(p, ports)
			require.NotEqual(t, needPorts, v)
		} else {
			// Without the ports the outcome must be what it is with them.
			require.Equal(t, v == selected, c.decide(p, ports) == selected, "%+v %s", rules, fmt.Sprint(p.PID))
		}
		out := false
		for _, s := range rules.Exclude {
			_, possibly := oracleSelector(s, p, ports)
			out = out || possibly
		}
		in := rules.All
		for _, s := range rules.Include {
			certainly, _ := oracleSelector(s, p, ports)
			in = in || certainly
		}
		require.Equal(t, in && !out, v == selected, "rules %+v ports %v verdict %d", rules, ports, v)
		if v == selected {
			selections++
		}
		if in && out {
			exclusions++
		}
	}
	assert.Greater(t, selections, 500)
	assert.Greater(t, exclusions, 500)
}
