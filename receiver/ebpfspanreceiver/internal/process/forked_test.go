//go:build linux

package process

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What has ended before it was read is described as what it was forked from, where that is certain.
func TestInherited(t *testing.T) {
	env := includeEnv("SVC")
	for name, tc := range map[string]struct {
		rules Rules
		alter func(t *testing.T, s *Scanner, root string, made *Fork)
		want  bool
	}{
		"as its parent":                 {env, nil, true},
		"as a parent that listens":      {Rules{Include: []Selector{{Ports: []PortRange{{First: 80}}}}}, nil, true},
		"but the rules name the parent": {Rules{Include: []Selector{{PIDs: []int{10}}}}, nil, false},
		"of another program":            {env, func(_ *testing.T, _ *Scanner, _ string, made *Fork) { *made = Fork{} }, false},
		"of somebody else's":            {env, func(_ *testing.T, _ *Scanner, _ string, made *Fork) { made.From = 12 }, false},
		"its parent was read later": {env, func(_ *testing.T, s *Scanner, _ string, made *Fork) {
			made.At = s.Lookup(10).read - 1
		}, false},
		"its parent has ended": {env, func(t *testing.T, s *Scanner, root string, _ *Fork) {
			remove(t, root, 10)
			s.Exit(10, Fork{})
		}, true},
		"the id of its parent is another's by now": {env, func(t *testing.T, s *Scanner, root string, made *Fork) {
			remove(t, root, 10)
			s.Exit(10, Fork{})
			fakeProc(t, root, 10, process("/bin/b", []string{"SVC=2"}, "start="+strconv.FormatUint(made.At/1e7+1, 10)))
			s.Consider(10, WhyFork)
		}, true},
		"its parent is not selected any more": {env, func(t *testing.T, s *Scanner, root string, _ *Fork) {
			fakeProc(t, root, 10, process("/bin/b", nil, "stack=9000"))
			s.Consider(10, WhyExec)
		}, false},
		"its id is another's by now": {env, func(t *testing.T, _ *Scanner, root string, _ *Fork) {
			fakeProc(t, root, 11, process("/bin/b", nil))
		}, false},
		"it was read": {env, func(t *testing.T, s *Scanner, root string, _ *Fork) {
			fakeProc(t, root, 11, process("/bin/b", nil))
			s.Consider(11, WhyFork)
			remove(t, root, 11)
		}, false},
		"it was selected": {env, func(t *testing.T, s *Scanner, root string, _ *Fork) {
			fakeProc(t, root, 11, process("/bin/a", []string{"SVC=1"}))
			s.Consider(11, WhyFork)
			remove(t, root, 11)
		}, false},
		"after the end": {env, func(_ *testing.T, s *Scanner, _ string, _ *Fork) { s.Close() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			var got, from *Process
			s, r := newScanner(t, Options{Proc: root, Rules: tc.rules, Self: 1, Inherited: func(p, parent *Process) { got, from = p, parent }})
			parent := process("/bin/a", []string{"SVC=1", "OTEL_SERVICE_NAME=shop"})
			parent.files["net/tcp"], parent.files["net/tcp6"] = listening(500, 80), ""
			parent.links["fd/3"] = "socket:[500]"
			fakeProc(t, root, 10, parent)
			require.NoError(t, s.Scan(context.Background()))
			require.Equal(t, []string{"+10 shop"}, r.take())
			made, parentIs := Fork{From: 10, At: sinceBoot()}, s.Lookup(10)
			if tc.alter != nil {
				tc.alter(t, s, root, &made)
			}
			r.take()
			s.Exit(11, made)
			if !tc.want {
				require.Nil(t, got)
				return
			}
			require.NotNil(t, got)
			assert.Same(t, parentIs, from)
			assert.Equal(t, 11, got.PID)
			assert.Equal(t, 10, got.PPID)
			assert.Equal(t, made.At/1e7, got.Start)
			assert.Equal(t, "shop", got.ServiceName)
			want := map[string]Attr{}
			for _, a := range from.Attributes() {
				want[a.Key] = a
			}
			want["process.pid"] = Attr{Key: "process.pid", Int: 11, IsInt: true}
			want["service.instance.id"] = Attr{Key: "service.instance.id", Str: instanceID(&testHost, 11, got.Start)}
			require.NotEqual(t, want["service.instance.id"].Str, find(from.Attributes(), "service.instance.id"))
			require.Len(t, got.Attributes(), len(want))
			for _, a := range got.Attributes() {
				assert.Equal(t, want[a.Key], a)
			}
			assert.Nil(t, s.Lookup(11), "nothing lives there")
			assert.Empty(t, r.take())
		})
	}
}

// A name that somebody gave an instance is that of its children, too.
func TestInheritedInstance(t *testing.T) {
	root := t.TempDir()
	var got *Process
	s, _ := newScanner(t, Options{Proc: root, Rules: Rules{All: true}, Self: 1, Inherited: func(p, _ *Process) { got = p }})
	fakeProc(t, root, 10, process("/bin/a", []string{"OTEL_RESOURCE_ATTRIBUTES=service.instance.id=mine"}))
	require.NoError(t, s.Scan(context.Background()))
	s.Exit(11, Fork{From: 10, At: sinceBoot()})
	require.Equal(t, "mine", find(got.Attributes(), "service.instance.id"))
}

// Of those that have ended only the latest are remembered.
func TestPastIsBounded(t *testing.T) {
	var a past
	for pid := range maxPast + 3 {
		a.add(&Process{PID: pid})
	}
	again := &Process{PID: 3}
	a.add(again)
	assert.Len(t, a.by, maxPast)
	assert.Nil(t, a.by[2])
	a.add(&Process{PID: maxPast + 3})
	assert.Same(t, again, a.by[3], "its id was used again meanwhile")
	assert.Len(t, a.order, maxPast)
}
