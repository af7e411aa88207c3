package bpftest

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/checkout"
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
	text := comment.ReplaceAll(checkout.Read(t, "bpf/"+name), nil)
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
