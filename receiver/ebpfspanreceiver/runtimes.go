//go:build linux

package ebpfspanreceiver

import (
	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// runtimeSupport is what is done for the processes of one runtime beyond what is done for all. Without it
// they are traced all the same, with fewer links.
type runtimeSupport interface {
	// use attaches what p needs, if it is of this runtime, and adds to target what the kernel side must
	// know. It is called again when p executes another program.
	use(p *process.Process, target *target)
	// drop says that a process is not selected any more.
	drop(pid int)
	// close detaches everything.
	close()
}

// unattached is part of the support that attaches nothing, and so has nothing to detach.
type unattached struct{}

func (unattached) drop(int) {}
func (unattached) close()   {}

// target is what is known of a selected process: what the kernel side is told, and what it is not.
type target struct {
	probe.Target
	// learn takes in what is found out of the habits of its runtime, then or later. It may be nil.
	learn func(set func(*causality.Habits))
}

func (t *target) tell(set func(*causality.Habits)) {
	if t.learn != nil {
		t.learn(set)
	}
}

// runtimes has a row for every runtime: one that is added needs a file and a row here, and what ARCHITECTURE.md section 9
// lists beyond.
var runtimes = []func(*probe.Tracer, *zap.Logger, *counts) runtimeSupport{
	newGolang,
	newPython,
	newJava,
	newHAProxy,
	newNode,
	newTokio,
	newDotnet,
	newRuby,
}
