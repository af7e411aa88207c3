package main

import (
	"slices"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

func server(path string, id byte) span { return span{path: path, server: true, owner: owner{id}} }

func call(path string, id byte) span {
	return span{path: path, owner: owner{id}, attrs: pcommon.NewMap()}
}

// What the tracer says is compared with the paths that the backend was asked for.
func TestJudge(t *testing.T) {
	s := judge([]span{
		server("/r/1", 11), server("/r/2", 22), server("/r/3", 33), server("/r/4", 44),
		call("/d/1/a", 11), call("/d/1/b", 11), // whole
		call("/d/2/a", 11),                      // wrong: neither 1 nor 2 is whole
		call("/d/3/a", 0),                       // unlinked
		call("/d/4/a", 44), call("/d/bg/7", 44), // a background call is in its trace
		call("/d/bg/8", 0),
		call("/d/5/a", 55), // of a request without a SERVER span
		call("/other", 11), // not the backend's
	}, map[string]int{
		"/d/1/a": 1, "/d/1/b": 1, "/d/2/a": 1, "/d/3/a": 1, "/d/4/a": 1, "/d/5/a": 1, "/d/6/a": 1,
		"/d/bg/7": 1, "/d/bg/8": 1,
	}, 6, 1)
	for name, c := range map[string][2]int{
		"calls": {s.calls, 7}, "captured": {s.captured, 6}, "linked": {s.linked, 5}, "right": {s.right, 3},
		"wrong": {s.wrong(), 2}, "served": {s.served, 4}, "background": {s.background, 2},
		"false parents": {s.falseParents, 1}, "whole": {s.whole, 0},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %d, not %d", name, c[0], c[1])
		}
	}
	for m, want := range [mistakes][]string{
		wrongLink: {"/d/2/a → /r/1 "}, noLink: {"/d/3/a "}, falseParent: {"/d/bg/7 → /r/4 "}, noSpan: {"/d/6/a"},
	} {
		if got := s.examples.lists[m]; !slices.Equal(got, want) {
			t.Errorf("examples of %+v: %q, not %q", mistakeNames[m], got, want)
		}
	}
	if p, r := s.precision(), s.recall(); p != 3.0/5 || r != 3.0/7 {
		t.Errorf("precision %v, recall %v", p, r)
	}
}

// A call may be linked to the request that it comes from without being part of it, and to no other.
func TestLate(t *testing.T) {
	late := func(path string, from byte) span {
		s := call(path, 0)
		s.late = owner{from}
		return s
	}
	s := judge([]span{
		server("/r/1", 11), server("/r/2", 22),
		late("/d/bg/late-1", 11), late("/d/1/a", 11), late("/d/bg/detached", 22), // right, or not known
		late("/d/bg/late-1", 22), late("/d/1/a", 22), late("/d/bg/7", 11), // wrong
	}, map[string]int{"/d/1/a": 1}, 2, 0)
	if s.late != 6 || s.lateWrong != 3 || s.falseParents != 0 {
		t.Errorf("%d late, %d wrong, %d false parents", s.late, s.lateWrong, s.falseParents)
	}
}

// What was meant to be late is no stray when it was not.
func TestEarly(t *testing.T) {
	request, early, late := server("/r/1", 11), call("/d/bg/late-1", 11), call("/d/bg/late-1", 11)
	request.end, early.start, late.start = 100, 100, 101
	s := judge([]span{request, early, late}, nil, 1, 0)
	if s.background != 2 || s.falseParents != 1 || s.whole != 0 {
		t.Errorf("%d of %d are strays, %d whole", s.falseParents, s.background, s.whole)
	}
	if s := judge([]span{request, early}, nil, 1, 0); s.falseParents != 0 || s.whole != 1 {
		t.Errorf("%d strays, %d whole", s.falseParents, s.whole)
	}
}

// A request is whole when all its calls are linked to it and nothing else is.
func TestWhole(t *testing.T) {
	made := map[string]int{"/d/1/a": 1, "/d/1/b": 1}
	for name, tc := range map[string]struct {
		calls []span
		whole int
	}{
		"all":       {[]span{call("/d/1/a", 11), call("/d/1/b", 11)}, 1},
		"one less":  {[]span{call("/d/1/a", 11), call("/d/1/b", 0)}, 0},
		"no span":   {[]span{call("/d/1/a", 11)}, 0},
		"one twice": {[]span{call("/d/1/a", 11), call("/d/1/a", 11)}, 0},
		"intruder":  {[]span{call("/d/1/a", 11), call("/d/1/b", 11), call("/d/bg/1", 11)}, 0},
	} {
		if got := judge(append(tc.calls, server("/r/1", 11)), made, 1, 0).whole; got != tc.whole {
			t.Errorf("%s: %d whole, not %d", name, got, tc.whole)
		}
	}
}

// Every workload names a program and a shape that exist once.
func TestWorkloads(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range workloads() {
		if seen[w.String()] || w.shape == "" || w.what == "" {
			t.Errorf("%s: %+v", w, *w)
		}
		seen[w.String()] = true
	}
	for _, bad := range []string{
		"-concurrency=0", "-concurrency=x", "-workloads=nothing", "-requests=1", "-pool=0", "-attach=hot", "-noise=loud", "-plan=none", "rest",
	} {
		if _, err := parseFlags([]string{bad}); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

// The number of calls that a request is said to have made is that of the calls in it, and no less than were made.
func TestTally(t *testing.T) {
	counted := func(path string, id byte, calls int) span {
		s := server(path, id)
		s.calls, s.hasCalls = calls, true
		return s
	}
	// after: calls that began after the response, and are none of its.
	for _, tt := range []struct{ calls, linked, after, made, wrong int }{
		{calls: 2, linked: 2, made: 2},
		{},
		{calls: 1, linked: 2, made: 2, wrong: 1},
		{calls: 3, linked: 2, made: 2, wrong: 1},
		{calls: 1, linked: 1, made: 2, wrong: 1},
		{calls: 1, linked: 1, after: 1, made: 2},
		{calls: 1, linked: 1, after: 1, made: 3, wrong: 1},
	} {
		request := counted("/r/1", 11, tt.calls)
		request.end = 100
		spans := []span{request, server("/r/2", 22)}
		for range tt.linked {
			spans = append(spans, call("/d/1/a", 11))
		}
		for range tt.after {
			late := call("/d/1/a", 0)
			late.start = 101
			spans = append(spans, late)
		}
		if s := judge(spans, map[string]int{"/d/1/a": tt.made}, 2, 0); s.tallied != 1 || s.miscounted != tt.wrong {
			t.Errorf("%+v: %d counted, %d wrong", tt, s.tallied, s.miscounted)
		}
	}
}
