package bpf

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// kernelOnly is what a program in user space cannot have: how the kernel's structures are read.
var kernelOnly = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`(?s)#define KERNEL_READ\(.*?\}\)\n`), "#define KERNEL_READ(...) 0\n"},
	{regexp.MustCompile(`#pragma clang attribute.*`), ""},
	{regexp.MustCompile(`extern .*__ksym.*`), ""},
}

// TestHands lets the programs of goroutine.bpf.c see goroutines that share connections, in many orders. None may
// make a wrong link, however little is known of the type of what they share, and nearly all calls are linked that
// can be. Nor may a goroutine be taken for one that had its id in what the process ran before.
func TestHands(t *testing.T) {
	testHands(t, 0.85, "1", "12000")
}

// TestHandsOfEagerHandlers: the same of handlers that give tasks away before they do anything else, or several. Of those
// that one worker takes at once it is not told whose a call is.
func TestHandsOfEagerHandlers(t *testing.T) {
	testHands(t, 0.7, "eager", "1", "12000")
}

// testHands: at least that share of the calls is linked, and none wrong.
func testHands(t *testing.T, share float64, args ...string) {
	t.Helper()
	out, err := exec.Command(compileHands(t), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var calls, linked, wrong int
	if _, err := fmt.Sscanf(string(out), "calls=%d linked=%d wrong=%d", &calls, &linked, &wrong); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	if calls == 0 || float64(linked) < share*float64(calls) {
		t.Errorf("linked %d of %d calls that are of requests", linked, calls)
	}
}

// TestHandsOfSharedConnection lets them see clients that share one connection, in many orders. Where the reader gives
// each response to whoever waits for it, of whom it has taken the task, nearly all calls are told; where it does
// something else none is told wrongly.
func TestHandsOfSharedConnection(t *testing.T) {
	out, err := exec.Command(compileHands(t), "shared", "1", "400").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var calls, linked int
	if _, err := fmt.Sscanf(string(out), "in order: calls=%d linked=%d", &calls, &linked); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	if calls == 0 || float64(linked) < 0.95*float64(calls) {
		t.Errorf("told of %d of %d calls that are of requests", linked, calls)
	}
}

// TestHandsOfGroups lets them see groups (sync.WaitGroup), some of whose memory cannot be read at that moment. None may
// be taken for one of a request which others have added to as well; and that its memory is fresh, so that nobody is in it
// yet, costs nothing.
func TestHandsOfGroups(t *testing.T) {
	out, err := exec.Command(compileHands(t), "groups", "1", "300").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	var alone, known [3]int
	if _, err := fmt.Sscanf(string(out), "resident: alone=%d known=%d\nfresh: alone=%d known=%d\npaged out: alone=%d known=%d\n",
		&alone[0], &known[0], &alone[1], &known[1], &alone[2], &known[2]); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, all := range alone {
		if all == 0 || i < 2 && known[i] < all || 10*known[i] < 9*all {
			t.Errorf("it is known of %d of %d groups whose alone they are", known[i], all)
		}
	}
}

// TestHandsOfStages lets them see workers that open connections for each other. Where connections are kept, every call of
// either stage is told when the first values of a type have gone round; where each is closed after its call, a connection
// may still come to a worker from whom it knows nothing of, in the middle of its task: what is told of that besides is
// right where it can have proven itself.
func TestHandsOfStages(t *testing.T) {
	out, err := exec.Command(compileHands(t), "stages", "1", "3000").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	var closed, kept struct{ calls, linked, proven, programs, lost int }
	var guesses, right int
	if _, err := fmt.Sscanf(string(out), "closed: calls=%d linked=%d proven=%d programs=%d lost=%d\n"+
		"kept: calls=%d linked=%d proven=%d programs=%d lost=%d\ndialed: guesses=%d right=%d\n",
		&closed.calls, &closed.linked, &closed.proven, &closed.programs, &closed.lost,
		&kept.calls, &kept.linked, &kept.proven, &kept.programs, &kept.lost, &guesses, &right); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if kept.calls == 0 || kept.lost > 0 || 1000*kept.linked < 999*kept.calls {
		t.Errorf("where connections are kept, told of %d of %d calls; %d of %d programs lose many", kept.linked, kept.calls,
			kept.lost, kept.programs)
	}
	if closed.calls == 0 || 100*closed.linked < 80*closed.calls || 100*closed.proven < 90*closed.calls {
		t.Errorf("where they are closed, told of %d of %d calls, of %d with what must prove itself", closed.linked,
			closed.calls, closed.proven)
	}
	if guesses == 0 || 1000*right < 999*guesses {
		t.Errorf("%d of %d connections that were dialed for another came for the task", right, guesses)
	}
}

// compileHands returns the program.
func compileHands(t *testing.T) string {
	t.Helper()
	const compiler = "clang-19"
	if _, err := exec.LookPath(compiler); err != nil {
		bpftest.Lacks(t, compiler)
	}
	dir := t.TempDir()
	copyPatched(t, dir, "*.h", "goroutine.bpf.c", "testdata/hands/hands.c", "testdata/hands/shared.h",
		"testdata/hands/groups.h", "testdata/hands/stages.h")
	copyPatched(t, filepath.Join(dir, "bpf"), "testdata/hands/bpf/*.h")
	hands := filepath.Join(dir, "hands")
	// The hooks are those of amd64 wherever this runs.
	compile := exec.Command(compiler, "-D__TARGET_ARCH_x86", "-O1", "-g", "-w", "-fno-strict-aliasing",
		"-I", dir, "-o", hands, filepath.Join(dir, "hands.c"))
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", compile, err, out)
	}
	return hands
}

// copyPatched copies files without what is kernelOnly. It opens them here, so that go test knows of them.
func copyPatched(t *testing.T, to string, patterns ...string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range kernelOnly {
				text = k.what.ReplaceAll(text, []byte(k.by))
			}
			if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
