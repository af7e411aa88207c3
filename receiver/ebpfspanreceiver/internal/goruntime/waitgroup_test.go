package goruntime

import (
	"bytes"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// TestWaitGroupSites: each toolchain at hand has the counter where [waitGroupMinor] says, and the site is cheap.
func TestWaitGroupSites(t *testing.T) {
	tools := map[string]string{"this": goTool(t)}
	if !testing.Short() {
		for name, tool := range otherToolchains(t) {
			tools[name] = tool
		}
	}
	cheap := map[string]*regexp.Regexp{
		"amd64": regexp.MustCompile(`^(push |jbe )`), "arm64": regexp.MustCompile(`^b\.`),
	}
	for name, tool := range tools {
		t.Run(name, func(t *testing.T) {
			for arch, cheap := range cheap {
				path := build(t, tool, variant{main: "groups", env: []string{"CGO_ENABLED=0", "GOARCH=" + arch}})
				info, err := Inspect(path)
				if err != nil {
					t.Fatal(err)
				}
				n, _, _ := minor(info.Version)
				if n < waitGroupMinor {
					if len(info.GroupSites) > 0 || info.GroupReason == "" {
						t.Errorf("%s %s: %+v, want none with a reason", info.Version, arch, info.WaitGroups)
					}
					continue
				}
				if len(info.GroupSites) != 1 || info.GroupReason != "" {
					t.Fatalf("%s %s: sites %+v, want one", info.Version, arch, info.WaitGroups)
				}
				s := info.GroupSites[0]
				if s.Symbol != fnGroup || s.Kind != WaitGroupAdd || s.Offset == 0 || !cheap.MatchString(s.Instruction) {
					t.Errorf("%s %s: %+v", info.Version, arch, s)
				}
				if arch != string(AMD64) || runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
					continue
				}
				out, err := exec.Command(path).Output()
				if got := strings.TrimSpace(string(out)); err != nil || got != "5" {
					t.Errorf("%s: the counter reads %q, want 5 (%v)", info.Version, got, err)
				}
			}
		})
	}
}

// TestWaitGroupSitesOfOthers: nothing is missed of a program without groups; of two functions none is taken.
func TestWaitGroupSitesOfOthers(t *testing.T) {
	code := []byte{0x49, 0x3b, 0x66, 0x10, 0x76, 0x05, 0x55, 0xc3} // cmp 0x10(%r14),%rsp; jbe; push %rbp; ret
	im := &image{arch: AMD64, r: bytes.NewReader(code), size: int64(len(code)), segments: []segment{{
		kind: ptLoad, flags: pfX, filesz: uint64(len(code)), memsz: uint64(len(code)),
	}}}
	one := function{name: fnGroup, end: uint64(len(code))}
	for name, tc := range map[string]struct {
		functions []function
		counted   bool
		sites     int
		reason    string
	}{
		"none":            {nil, true, 0, ""},
		"one":             {[]function{one}, true, 1, ""},
		"an old release":  {[]function{one}, false, 0, "from Go 1.20 on"},
		"two of the name": {[]function{one, one}, true, 0, "2 functions"},
	} {
		table := &funcTable{im: im, functions: map[string][]function{fnGroup: tc.functions}}
		got := table.waitGroups(0, tc.counted)
		if len(got.GroupSites) != tc.sites || !strings.Contains(got.GroupReason, tc.reason) || (got.GroupReason != "") != (tc.reason != "") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
