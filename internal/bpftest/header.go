package bpftest

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"testing"
)

var (
	enumeration = regexp.MustCompile(`(?s)\benum (\w+) \{(.*?)\n\};`)
	enumerator  = regexp.MustCompile(`(?m)^\t([A-Z]\w*) = (\d+),`)
	definition  = regexp.MustCompile(`(?m)^#define (\w+) (\d+)$`)
	comment     = regexp.MustCompile(`(?s)/\*.*?\*/`)
)

// Header returns the numbers of a header in bpf/, by enumeration, and those that are defined under "": for tests of
// what has to write them once more.
func Header(t testing.TB, name string) map[string]map[string]uint64 {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "..", "bpf", name))
	if err != nil {
		t.Fatal(err)
	}
	text := comment.ReplaceAll(b, nil)
	numbers := map[string]map[string]uint64{"": {}}
	add := func(enum string, m [][]byte) {
		n, err := strconv.ParseUint(string(m[2]), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if numbers[enum] == nil {
			numbers[enum] = map[string]uint64{}
		}
		numbers[enum][string(m[1])] = n
	}
	for _, e := range enumeration.FindAllSubmatch(text, -1) {
		for _, m := range enumerator.FindAllSubmatch(e[2], -1) {
			add(string(e[1]), m)
		}
	}
	for _, m := range definition.FindAllSubmatch(text, -1) {
		add("", m)
	}
	return numbers
}
