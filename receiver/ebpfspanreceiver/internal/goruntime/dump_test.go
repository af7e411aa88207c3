package goruntime

import (
	"os"
	"strings"
	"testing"
)

// TestDump prints what is found in executables: GOEXE=path[:path] go test -count=1 -run Dump -v . Without GOEXE, in this
// one.
func TestDump(t *testing.T) {
	list := os.Getenv("GOEXE")
	if list == "" {
		var err error
		if list, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range strings.Split(list, ":") {
		info, err := Inspect(path)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		t.Logf("%s: %q %s {%v} from %s, g at thread pointer %+d (known %v %s)", path, info.Version, info.Arch, info.Layout, info.LayoutSource, info.TLSOffset, info.TLSKnown, info.TLSReason)
		for _, s := range info.Sites {
			t.Logf("  %v: %s offset %#x address %#x %q g=%s sudog=%s newg=%s expensive=%v retried=%v", s.Kind, s.Symbol, s.Offset, s.Address, s.Instruction, s.GReg, s.SudogReg, s.NewGReg, s.Expensive, s.Retried)
		}
		for _, m := range info.Missing {
			t.Logf("  missing %v: %s", m.Kind, m.Reason)
		}
	}
}
