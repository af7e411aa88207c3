//go:build linux && amd64

package goruntime

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestUprobesAtSites puts kernel uprobes on the sites through tracefs and lets
// them print the goids of both sides, which must be those that the program prints itself.
func TestUprobesAtSites(t *testing.T) {
	if os.Geteuid() != 0 {
		skipOrFail(t, "not root")
	}
	root := t.TempDir()
	if err := syscall.Mount("tracefs", root, "tracefs", 0, ""); err != nil {
		skipOrFail(t, "tracefs cannot be mounted: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, 0); err != nil {
			t.Errorf("unmount tracefs: %v", err)
		}
	})
	if _, err := os.Stat(filepath.Join(root, "uprobe_events")); err != nil {
		skipOrFail(t, "the kernel has no uprobe events: "+err.Error())
	}
	tool := goTool(t)
	for i, v := range variants() {
		switch v.name {
		case "stripped", "pie-stripped", "cgo-pie-stripped":
		default:
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			path := build(t, tool, v)
			info, err := Inspect(path)
			if err != nil {
				t.Fatal(err)
			}
			traceSites(t, root, fmt.Sprintf("goruntime_%d_%d", os.Getpid(), i), path, info)
		})
	}
	t.Run("profile-guided", func(t *testing.T) {
		if testing.Short() {
			t.Skip("compiles the standard library once more")
		}
		// The profile is of testdata/chanload; to make it anew for a later Go:
		// go build -trimpath -o chanload testdata/chanload/main.go && ./chanload testdata/chan.pprof
		profile, err := filepath.Abs("testdata/chan.pprof")
		if err != nil {
			t.Fatal(err)
		}
		path := build(t, tool, variant{args: []string{"-ldflags=-s -w", "-pgo=" + profile}, env: []string{"CGO_ENABLED=0"}})
		info, err := Inspect(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Missing) > 0 {
			t.Errorf("missing %+v", info.Missing)
		}
		if !slices.ContainsFunc(info.Sites, func(s Site) bool { return s.WaiterInClosure }) {
			t.Fatalf("nothing was inlined, so this tests nothing: %+v", info.Sites)
		}
		recvInlined := slices.ContainsFunc(info.Sites, func(s Site) bool { return s.WaiterInClosure && s.Kind == ChanRecv })
		if none := len(info.Buffers.Sites) == 0 && info.Buffers.Reason != ""; none != recvInlined {
			t.Errorf("recv inlined: %v, buffers %+v", recvInlined, info.Buffers)
		}
		traceSites(t, root, fmt.Sprintf("goruntime_%d_pgo", os.Getpid()), path, info)
	})
	for name, tool := range otherToolchains(t) {
		if testing.Short() {
			break
		}
		t.Run(name, func(t *testing.T) {
			path := build(t, tool, variant{args: []string{"-ldflags=-s -w"}, env: []string{"CGO_ENABLED=0"}})
			info, err := Inspect(path)
			if err != nil {
				t.Fatal(err)
			}
			runLive(t, path, info)
			group := strings.NewReplacer(".", "_").Replace(fmt.Sprintf("goruntime_%d_%s", os.Getpid(), name))
			traceSites(t, root, group, path, info)
		})
	}
}

// traceSites compares what the probes of one program see with what it says.
func traceSites(t *testing.T, tracefs, group, path string, info *Info) {
	t.Helper()
	instance := filepath.Join(tracefs, "instances", group)
	if err := os.Mkdir(instance, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(instance)
	names := map[Kind]string{ChanSend: "send", ChanRecv: "recv", NewGoroutine: "spawn"}
	tracefsReg := map[string]string{"rbx": "%bx", "rax": "%ax", "r14": "%r14"}
	for i, s := range info.Sites {
		var args string
		name := fmt.Sprintf("%s%d", names[s.Kind], i)
		if s.Kind == NewGoroutine {
			newg := tracefsReg[s.NewGReg]
			args = fmt.Sprintf("child=+%d(%s):u64 ", info.Goid, newg)
			if info.HasParentGoid {
				args += fmt.Sprintf("parent=+%d(%s):u64", info.ParentGoid, newg)
			} else { // g0 -> m -> curg
				args += fmt.Sprintf("parent=+%d(+%d(+%d(%s))):u64", info.Goid, info.Curg, info.M, tracefsReg[s.GReg])
			}
		} else if s.WaiterInClosure {
			args = fmt.Sprintf("me=+%d(%s):u64 peer=+%d(+%d(+%d(%%sp))):u64", info.Goid, tracefsReg[s.GReg], info.Goid, closureGOffset, s.ClosureArg)
		} else {
			args = fmt.Sprintf("me=+%d(%s):u64 peer=+%d(+%d(%s)):u64", info.Goid, tracefsReg[s.GReg], info.Goid, SudogGOffset, tracefsReg[s.SudogReg])
		}
		event := fmt.Sprintf("p:%s/%s %s:%#x %s\n", group, name, path, s.Offset, args)
		if err := appendTo(filepath.Join(tracefs, "uprobe_events"), event); err != nil {
			t.Fatalf("create uprobe %q: %v", event, err)
		}
		defer func() {
			if err := appendTo(filepath.Join(tracefs, "uprobe_events"), fmt.Sprintf("-:%s/%s\n", group, name)); err != nil {
				t.Errorf("remove uprobe: %v", err)
			}
		}()
		enable := filepath.Join(instance, "events", group, name, "enable")
		if err := os.WriteFile(enable, []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.WriteFile(enable, []byte("0"), 0); err != nil {
				t.Errorf("disable uprobe: %v", err)
			}
		}()
	}
	out, err := liveCommand(path, info).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	trace, err := os.ReadFile(filepath.Join(instance, "trace"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, re := range []string{`(send)[0-9]+: .* me=(\d+) peer=(\d+)`, `(recv)[0-9]+: .* me=(\d+) peer=(\d+)`, `(spawn)[0-9]+: .* child=(\d+) parent=(\d+)`} {
		for _, m := range regexp.MustCompile(re).FindAllStringSubmatch(string(trace), -1) {
			seen[strings.Join(m[1:], " ")] = true
		}
	}
	said := 0
	for _, c := range []struct{ re, event string }{
		{`(?m)^send from=(\d+) to=(\d+)$`, "send $1 $2"},
		{`(?m)^recv by=(\d+) from=(\d+)$`, "recv $1 $2"},
		{`(?m)^spawn parent=(\d+) child=(\d+)$`, "spawn $2 $1"},
	} {
		re := regexp.MustCompile(c.re)
		for _, m := range re.FindAllSubmatchIndex(out, -1) {
			said++
			if want := string(re.Expand(nil, []byte(c.event), out, m)); !seen[want] {
				t.Errorf("no probe saw %q", want)
			}
		}
	}
	if said != 12 {
		t.Errorf("the program said %d hand-offs, want 12", said)
	}
	if t.Failed() {
		t.Logf("program:\n%s\ntrace:\n%s", out, trace)
	}
}

func appendTo(path, line string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// skipOrFail: continuous integration sets REQUIRE_BPF=1 and must not skip.
func skipOrFail(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("REQUIRE_BPF") == "1" {
		t.Fatalf("REQUIRE_BPF=1, but %s", reason)
	}
	t.Skip(reason)
}
